//! Up to a minute of samples in few bytes.
//!
//! ```text
//! packed = 1, count: u8, columns: varint mask, column for each bit of the mask, the lowest first
//! column = head: u8, [there: count bits], body
//! head   = form (2 bits), has `there` (1 bit), exceptions (4 bits)
//! form 0: varint                                         the value of all
//! form 1: varint least, width: u8, (value - least) in width bits each, exceptions
//! form 2: varint first, width: u8, zigzag steps from one to the next in width bits each, exceptions
//! exception = at: u8, varint                             what does not fit its width, whose bits are 0
//! ```
//! Each column takes the shortest form. Values that are not there take a bit.

/// The most samples that are packed together: 56 s of them, so that none waits for a minute.
pub const MOST_SAMPLES: usize = 28;

/// The most columns.
const MOST_COLUMNS: u8 = 64;

const VERSION: u8 = 1;

const CONSTANT: u8 = 0;
const RANGE: u8 = 1;
const STEPS: u8 = 2;

const HAS_GAPS: u8 = 1 << 2;

/// How many values of a column may be wider than its bits.
const MOST_EXCEPTIONS: usize = 15;

/// Samples, column by column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Samples {
    /// How many there are; at most [`MOST_SAMPLES`].
    pub count: usize,
    /// A column's number, below 64 and each once, and its value in each sample that has one; not all may be missing.
    pub columns: Vec<(u8, Vec<Option<u32>>)>,
}

impl Samples {
    /// A column's values.
    pub fn column(&self, number: u8) -> &[Option<u32>] {
        let found = self.columns.iter().find(|(known, _)| *known == number);
        found.map_or(&[], |(_, values)| values.as_slice())
    }

    /// How many values there are.
    pub fn values(&self) -> usize {
        self.columns.iter().flat_map(|(_, values)| values).flatten().count()
    }
}

/// Packs samples. What is beyond the bounds is left out.
pub fn pack(samples: &Samples) -> Vec<u8> {
    let count = samples.count.min(MOST_SAMPLES);
    let mut columns: Vec<(u8, &[Option<u32>])> = samples
        .columns
        .iter()
        .map(|(number, values)| (*number, values.get(..count).unwrap_or(values)))
        .filter(|(number, values)| *number < MOST_COLUMNS && values.iter().any(Option::is_some))
        .collect();
    columns.sort_by_key(|(number, _)| *number);
    columns.dedup_by_key(|(number, _)| *number);
    let mask = columns.iter().fold(0_u64, |mask, (number, _)| mask | 1 << number);
    let mut packed = vec![VERSION, u8::try_from(count).unwrap_or(0)];
    put_varint(&mut packed, mask);
    let mut values = Vec::with_capacity(count);
    for (_, column) in columns {
        values.clear();
        values.extend(column.iter().flatten().copied());
        let there = (values.len() < count).then_some(column);
        put_column(&mut packed, count, there, &values);
    }
    packed
}

fn put_column(packed: &mut Vec<u8>, count: usize, there: Option<&[Option<u32>]>, values: &[u32]) {
    let gaps = if there.is_some() { HAS_GAPS } else { 0 };
    let head = |form: u8, exceptions: usize| form | gaps | u8::try_from(exceptions).unwrap_or(0) << 3;
    let first = values.first().copied().unwrap_or_default();
    let least = values.iter().copied().min().unwrap_or_default();
    let put_there = |packed: &mut Vec<u8>| {
        if let Some(there) = there {
            let is_there = (0..count).map(|at| u64::from(there.get(at).copied().flatten().is_some()));
            put_bits(packed, is_there, 1);
        }
    };
    if values.iter().all(|value| *value == first) {
        packed.push(head(CONSTANT, 0));
        put_there(packed);
        return put_varint(packed, first.into());
    }
    let ranges: Vec<u64> = values.iter().map(|value| u64::from(value - least)).collect();
    let next = values.iter().skip(1);
    let steps: Vec<u64> =
        values.iter().zip(next).map(|(one, next)| zigzag(i64::from(*next) - i64::from(*one))).collect();
    let (range, step) = (cheapest(&ranges), cheapest(&steps));
    let range_bytes = range.bytes + varint_bytes(least.into());
    let (form, start, numbers, Width { bits, exceptions, .. }) =
        if range_bytes <= step.bytes + varint_bytes(first.into()) {
            (RANGE, least, ranges, range)
        } else {
            (STEPS, first, steps, step)
        };
    packed.push(head(form, exceptions));
    put_there(packed);
    put_varint(packed, start.into());
    packed.push(u8::try_from(bits).unwrap_or(0));
    let is_wide = |number: u64| length(number) > bits;
    put_bits(packed, numbers.iter().map(|number| if is_wide(*number) { 0 } else { *number }), bits);
    for (at, number) in numbers.iter().enumerate().filter(|(_, number)| is_wide(**number)) {
        packed.push(u8::try_from(at).unwrap_or(0));
        put_varint(packed, *number);
    }
}

/// How wide the bits of a column are, how many values are wider, and what that takes.
#[derive(Clone, Copy)]
struct Width {
    bits: u32,
    exceptions: usize,
    bytes: usize,
}

fn cheapest(numbers: &[u64]) -> Width {
    let widest = numbers.iter().copied().map(length).max().unwrap_or(0);
    let mut best = Width { bits: widest, exceptions: 0, bytes: bytes_of(numbers.len(), widest) };
    for bits in 0..widest {
        let wide = numbers.iter().copied().filter(|number| length(*number) > bits);
        let (exceptions, apart) =
            wide.fold((0, 0), |(count, bytes), number| (count + 1, bytes + 1 + varint_bytes(number)));
        let bytes = bytes_of(numbers.len(), bits) + apart;
        if exceptions <= MOST_EXCEPTIONS && bytes < best.bytes {
            best = Width { bits, exceptions, bytes };
        }
    }
    best
}

/// How many bits a number has.
fn length(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

fn bytes_of(numbers: usize, bits: u32) -> usize {
    (numbers * bits as usize).div_ceil(8)
}

fn zigzag(step: i64) -> u64 {
    (step << 1 ^ step >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn varint_bytes(number: u64) -> usize {
    (length(number).max(1) as usize).div_ceil(7)
}

fn put_varint(packed: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packed.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

fn put_bits(packed: &mut Vec<u8>, numbers: impl Iterator<Item = u64>, bits: u32) {
    let (mut held, mut count) = (0_u64, 0);
    for number in numbers {
        held |= number << count;
        count += bits;
        while count >= 8 {
            packed.push((held & 0xff) as u8);
            held >>= 8;
            count -= 8;
        }
    }
    if count > 0 {
        packed.push((held & 0xff) as u8);
    }
}

/// Unpacks samples; `None` for what is none.
pub fn unpack(packed: &[u8]) -> Option<Samples> {
    let mut from = Rest(packed);
    let (version, count) = (from.byte()?, usize::from(from.byte()?));
    if version != VERSION || count > MOST_SAMPLES {
        return None;
    }
    let mask = from.varint()?;
    let numbers = (0..MOST_COLUMNS).filter(|number| mask >> number & 1 == 1);
    let columns = numbers.map(|number| Some((number, from.column(count)?))).collect::<Option<_>>()?;
    from.0.is_empty().then_some(Samples { count, columns })
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn bits(&mut self, count: usize, bits: u32) -> Option<Vec<u64>> {
        let (mut held, mut has) = (0_u64, 0);
        let read = |_| {
            while has < bits {
                held |= u64::from(self.byte()?) << has;
                has += 8;
            }
            let number = held & !(u64::MAX << bits);
            held >>= bits;
            has -= bits;
            Some(number)
        };
        (0..count).map(read).collect()
    }

    fn column(&mut self, count: usize) -> Option<Vec<Option<u32>>> {
        let head = self.byte()?;
        let (form, exceptions) = (head & 3, usize::from(head >> 3));
        let there = match head & HAS_GAPS {
            0 => vec![1; count],
            _ => self.bits(count, 1)?,
        };
        let values = there.iter().filter(|is_there| **is_there == 1).count();
        let start = self.varint()?;
        let mut value = i64::try_from(start).ok()?;
        let mut found = vec![u32::try_from(start).ok()?];
        match form {
            CONSTANT => found = vec![u32::try_from(start).ok()?; values],
            RANGE => {
                let numbers = self.numbers(values, exceptions)?;
                let add = |number: u64| u32::try_from(start.checked_add(number)?).ok();
                found = numbers.into_iter().map(add).collect::<Option<_>>()?;
            }
            STEPS => {
                for number in self.numbers(values.checked_sub(1)?, exceptions)? {
                    value = value.checked_add(unzigzag(number))?;
                    found.push(u32::try_from(value).ok()?);
                }
            }
            _ => return None,
        }
        let mut found = found.into_iter();
        Some(there.into_iter().map(|is_there| if is_there == 1 { found.next() } else { None }).collect())
    }

    fn numbers(&mut self, count: usize, exceptions: usize) -> Option<Vec<u64>> {
        let bits = u32::from(self.byte()?);
        // A step between two u32 has 33 bits at most.
        if bits > 33 {
            return None;
        }
        let mut numbers = self.bits(count, bits)?;
        for _ in 0..exceptions {
            let at = usize::from(self.byte()?);
            *numbers.get_mut(at)? = self.varint()?;
        }
        Some(numbers)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(number: u8, values: &[Option<u32>]) -> Samples {
        Samples { count: values.len(), columns: vec![(number, values.to_vec())] }
    }

    fn bytes(values: &[Option<u32>]) -> usize {
        let samples = column(3, values);
        let packed = pack(&samples);
        assert_eq!(unpack(&packed), Some(samples));
        // Version, count, mask.
        packed.len() - 3
    }

    #[test]
    fn each_column_takes_the_shortest_form() {
        let of = |value: fn(u32) -> u32| (0..28).map(|at| Some(value(at))).collect::<Vec<_>>();
        assert_eq!(bytes(&of(|_| 7)), 2, "constant");
        assert_eq!(bytes(&of(|at| 1000 + at % 4)), 1 + 2 + 1 + 7, "two bits each above the least");
        assert_eq!(bytes(&of(|at| 100_000 * at)), 1 + 1 + 1 + (27 * 18_usize).div_ceil(8), "steps");
        let mut spiky = of(|at| 30 + at % 2);
        spiky[9] = Some(60_000);
        assert_eq!(bytes(&spiky), 1 + 1 + 1 + 4 + 4, "one that is far off is written apart");
        let gaps: Vec<_> = (0..28).map(|at| (at % 2 == 0).then_some(5)).collect();
        assert_eq!(bytes(&gaps), 2 + 4, "what is missing takes a bit");
    }

    #[test]
    fn the_widest_values_come_back() {
        let extreme = [Some(u32::MAX), Some(0), None, Some(u32::MAX), Some(1), Some(u32::MAX - 1)];
        assert!(bytes(&extreme) > 0);
        assert_eq!(unpack(&pack(&Samples::default())), Some(Samples::default()));
    }

    fn samples() -> impl Strategy<Value = Samples> {
        let value = prop_oneof![0..4_u32, 0..1000_u32, any::<u32>()];
        let columns = move |count| {
            let values = prop::collection::vec(prop::option::weighted(0.9, value.clone()), count);
            let columns = prop::collection::btree_map(0..MOST_COLUMNS, values, 0..24);
            columns.prop_map(move |columns| {
                let is_any = |(_, values): &(u8, Vec<Option<u32>>)| values.iter().any(Option::is_some);
                Samples { count, columns: columns.into_iter().filter(is_any).collect() }
            })
        };
        (0..=MOST_SAMPLES).prop_flat_map(columns)
    }

    proptest! {
        #[test]
        fn whatever_is_packed_comes_back(samples in samples()) {
            prop_assert_eq!(unpack(&pack(&samples)), Some(samples));
        }

        #[test]
        fn nothing_that_is_read_breaks_anything(packed in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut packed = packed;
            if let Some(version) = packed.first_mut() {
                *version %= 2;
            }
            if let Some(samples) = unpack(&packed) {
                prop_assert!(samples.count <= MOST_SAMPLES);
                prop_assert!(samples.columns.iter().all(|(_, values)| values.len() == samples.count));
            }
        }

        #[test]
        fn a_byte_that_was_changed_breaks_nothing(samples in samples(), at in any::<usize>(), byte in any::<u8>()) {
            let mut packed = pack(&samples);
            let at = at % packed.len();
            packed[at] = byte;
            let _ = unpack(&packed);
            let _ = unpack(&packed[..at]);
        }
    }
}
