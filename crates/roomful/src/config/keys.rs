//! The names of settings, in a file and in the environment, and which is meant by one that does not exist.

use anyhow::bail;

/// The section and the key of a setting.
pub(super) type Name = (&'static str, &'static str);

const PREFIX: &str = "ROOMFUL_";

/// A name as it is written in a file.
pub(super) fn in_file(section: &str, key: &str) -> String {
    format!("{section}.{key}")
}

/// ... and in the environment.
pub(super) fn in_environment(section: &str, key: &str) -> String {
    format!("{PREFIX}{}__{}", section.to_uppercase(), key.to_uppercase())
}

/// What a name in the environment names, be it written in capitals or not; `None` for what is not ours.
///
/// # Errors
/// A name with one underscore where there have to be two, or without its section, sets nothing. Other names that begin alike are for
/// others (Kubernetes sets `ROOMFUL_PORT` and such for a service called roomful; the command line has `ROOMFUL_URL` and `ROOMFUL_KEY`).
pub(super) fn of_environment(known: &[Name], name: &str) -> anyhow::Result<Option<(String, String)>> {
    let begins = name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    let Some(rest) = name.get(PREFIX.len()..).filter(|_| begins) else { return Ok(None) };
    if let Some((section, key)) = rest.split_once("__") {
        return Ok(Some((section.to_lowercase(), key.to_lowercase())));
    }
    let is_alone = |key: &str| rest.eq_ignore_ascii_case(key) && !["url", "key"].contains(&key);
    let letters = |text: &str| text.replace('_', "").to_lowercase();
    let is_meant =
        |(section, key): &&Name| letters(rest) == letters(&format!("{section}{key}")) || is_alone(key);
    match known.iter().find(is_meant) {
        Some((section, key)) => {
            bail!("unknown configuration key {name}; did you mean {}?", in_environment(section, key))
        }
        None => Ok(None),
    }
}

/// Refuses a name that does not exist, with the nearest that does, unless that is another word altogether.
pub(super) fn unknown(
    known: &[Name],
    section: &str,
    key: &str,
    show: impl Fn(&str, &str) -> String,
) -> anyhow::Error {
    let away = |known: &&Name| distance(known.0, section) + distance(known.1, key);
    let is_alike = |known: &&Name| key.is_empty() || away(known) * 2 <= section.len() + key.len();
    let nearest = known.iter().min_by_key(away).filter(is_alike);
    let meant = nearest.map_or_else(
        || "`roomful settings` has them all".into(),
        |(section, key)| format!("did you mean {}?", show(section, key)),
    );
    let asked = show(section, key);
    anyhow::anyhow!("unknown configuration key {}; {meant}", asked.trim_end_matches('.'))
}

/// What may be meant by a key that stands outside all sections.
pub(super) fn instead_of_a_section(known: &[Name], key: &str) -> String {
    let found = known.iter().find(|(_, known)| *known == key);
    found.map(|(section, key)| format!("; did you mean {section}.{key}?")).unwrap_or_default()
}

/// How far what was written is from a name: letters that are wrong, missing or exchanged, and where only some of its words were
/// written (`calls` of `calls_per_second`), one for the others. So a short name is no nearer by being short.
fn distance(name: &str, written: &str) -> usize {
    let words: Vec<&str> = name.split('_').collect();
    let count = words.len();
    let runs = (0..count).flat_map(|from| (from + 1..=count).map(move |to| (from, to)));
    let of_run = |(from, to): (usize, usize)| {
        let run = words.get(from..to).unwrap_or_default().join("_");
        strsim::damerau_levenshtein(&run, written) + usize::from(to - from < count)
    };
    runs.map(of_run).min().unwrap_or(usize::MAX / 2)
}
