//! Sound through a shard: who of many is heard, and what is sent again.

use str0m::format::CodecConfig;
use str0m::rtp::ExtensionValues;

use std::num::NonZeroU8;

use super::*;

/// What silence and speech have, in -dBov.
const QUIET: i8 = -80;
const SPEAKS: i8 = -30;

impl World {
    fn sound_client(&mut self) -> usize {
        let at = self.client();
        let mut config = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false);
        let mut params = config.codec_config().params().to_vec();
        params.iter_mut().for_each(|params| params.set_fb_nack(true));
        *config.codec_config() = CodecConfig::new_from_payload_params(params);
        let mut rtc = config.build(self.now);
        rtc.add_local_candidate(Candidate::host(self.clients[at].address, Protocol::Udp).unwrap());
        self.clients[at].rtc = rtc;
        at
    }

    fn sound_source(user: usize) -> SourceKey {
        SourceKey { room: RoomKey(1), user: format!("user{user}").into(), kind: StreamKind::Audio }
    }

    /// People who publish sound, by their places.
    fn speakers(&mut self, count: usize) -> Vec<usize> {
        (0..count).map(|user| self.speaker(user)).collect()
    }

    fn speaker(&mut self, user: usize) -> usize {
        let at = self.sound_client();
        let mut api = self.clients[at].rtc.sdp_api();
        let mid = api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
        let (offer, pending) = api.apply().unwrap();
        self.clients[at].mid = Some(mid);
        let stream = Published { mid: mid.to_string(), kind: StreamKind::Audio, ..Published::default() };
        let answer = self
            .shard
            .publish(
                PeerId(1 + user as u64),
                RoomKey(1),
                &format!("user{user}").into(),
                &offer.to_sdp_string(),
                &[stream],
                Rights::ALL,
                self.now,
            )
            .unwrap();
        // Encoders are asked for what a decoder can make up a lost packet from (RFC 7587 6.1), and missing packets will be.
        assert!(answer.sdp.contains("useinbandfec=1"), "{}", answer.sdp);
        assert!(answer.sdp.contains(" nack\r\n"), "{}", answer.sdp);
        self.accept(at, pending, &answer);
        at
    }

    /// One who hears so many of them, of whom at most `most` at a time. Returns it, and where it hears whom.
    fn listener(&mut self, count: usize, most: Option<u8>) -> (usize, Vec<Watched>) {
        let at = self.sound_client();
        let mut api = self.clients[at].rtc.sdp_api();
        let mids: Vec<Mid> = (0..count)
            .map(|_| api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None))
            .collect();
        let (offer, pending) = api.apply().unwrap();
        let watched: Vec<Watched> = mids
            .iter()
            .enumerate()
            .map(|(user, mid)| Watched {
                mid: mid.to_string(),
                source: Some(Self::sound_source(user)),
                wanted: Wanted::default(),
            })
            .collect();
        let most = most.and_then(NonZeroU8::new);
        let answer = self.shard.watch(PeerId(900), &offer.to_sdp_string(), &watched, most, self.now).unwrap();
        assert!(answer.sdp.contains(" nack\r\n"), "{}", answer.sdp);
        self.accept(at, pending, &answer);
        (at, watched)
    }

    /// Everybody sends sound of a level, or none, for a while.
    fn talk(&mut self, span: Duration, people: &[(usize, Option<i8>)]) {
        let end = self.now + span;
        let mut step = 0_u32;
        while self.now < end {
            self.now += STEP;
            if step.is_multiple_of(4) {
                people.iter().for_each(|(at, level)| self.utter(*at, *level));
            }
            step += 1;
            self.exchange();
        }
    }

    fn utter(&mut self, at: usize, level: Option<i8>) {
        let client = &mut self.clients[at];
        let Some(level) = level else { return };
        let mid = client.mid.unwrap();
        let pt = client.rtc.media(mid).unwrap().remote_pts()[0];
        let mut direct = client.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None).unwrap();
        let seq = client.written[0] + 1;
        client.written[0] = seq;
        let mut payload = vec![0x5a; 80];
        payload[5] = at as u8;
        payload[6..10].copy_from_slice(&(seq as u32).to_be_bytes());
        let values = ExtensionValues {
            audio_level: Some(level),
            voice_activity: Some(false),
            ..ExtensionValues::default()
        };
        let packet = RtpWrite::new(pt, (2000 + seq).into(), seq as u32 * 960, self.now, payload);
        stream.write_rtp(packet.ext_vals(values).nackable(true));
    }

    /// A packet with nothing in it.
    fn pad(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let mid = client.mid.unwrap();
        let pt = client.rtc.media(mid).unwrap().remote_pts()[0];
        client.written[0] += 1;
        let seq = client.written[0];
        let mut direct = client.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None).unwrap();
        stream.write_rtp(RtpWrite::new(pt, (2000 + seq).into(), seq as u32 * 960, self.now, Vec::new()));
    }

    /// What a listener has had of a speaker: numbers without a gap, and time that goes on as it did at the speaker's.
    fn heard(&self, at: usize, speaker: usize) -> Vec<u32> {
        let mut got = self.clients[at].got.clone();
        got.retain(|packet| packet.tag == speaker as u8);
        got.sort_by_key(|packet| packet.seq);
        got.dedup();
        for pair in got.windows(2) {
            let [a, b] = pair else { continue };
            assert_eq!(b.seq, a.seq + 1, "a gap, or a number twice: {a:?} {b:?}");
            assert_eq!(b.timestamp.wrapping_sub(a.timestamp), (b.number - a.number) * 960, "{a:?} {b:?}");
        }
        got.into_iter().map(|packet| packet.number).collect()
    }

    /// Of whom something came of late.
    fn heard_of_late(&mut self, at: usize, speakers: &[usize]) -> Vec<usize> {
        let newest = |speaker: &usize| {
            let written = self.clients[*speaker].written[0];
            self.heard(at, *speaker).last().is_some_and(|number| u64::from(*number) + 5 >= written)
        };
        speakers.iter().enumerate().filter(|(_, at)| newest(at)).map(|(user, _)| user).collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn only_the_loudest_are_heard_and_what_was_left_out_leaves_no_gap() {
    let mut world = World::new();
    let people = world.speakers(6);
    let (ben, watched) = world.listener(6, Some(2));
    let levels = |loud: &[usize]| -> Vec<(usize, Option<i8>)> {
        let level = |user| Some(if loud.contains(&user) { SPEAKS } else { QUIET });
        people.iter().enumerate().map(|(user, at)| (*at, level(user))).collect()
    };

    world.talk(SECOND, &levels(&[4]));
    assert!(world.heard_of_late(ben, &people).contains(&4));
    assert_eq!(world.heard_of_late(ben, &people).len(), 2, "never more than are asked for");
    world.talk(SECOND, &levels(&[1, 4]));
    assert_eq!(world.heard_of_late(ben, &people), [1, 4]);
    // Somebody begins while one of them has just stopped.
    world.talk(SECOND / 2, &levels(&[1, 5]));
    assert_eq!(world.heard_of_late(ben, &people), [1, 5]);
    world.talk(SECOND, &levels(&[4, 5]));
    assert_eq!(world.heard_of_late(ben, &people), [4, 5]);
    world.talk(3 * SECOND, &levels(&[]));
    assert_eq!(world.heard_of_late(ben, &people), [4, 5], "silence moves nobody");

    // All are wanted again, or fewer.
    world.shard.rewatch(PeerId(900), &watched, NonZeroU8::new(1), world.now).unwrap();
    world.talk(SECOND / 2, &levels(&[0]));
    assert_eq!(world.heard_of_late(ben, &people), [0]);
    world.shard.rewatch(PeerId(900), &watched, NonZeroU8::new(50), world.now).unwrap();
    world.talk(SECOND / 2, &levels(&[0]));
    assert_eq!(world.heard_of_late(ben, &people), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn the_word_with_which_somebody_begins_is_heard_from_its_first_tenth_of_a_second() {
    let mut world = World::new();
    let people = world.speakers(4);
    let (ben, _) = world.listener(4, Some(1));
    let all = |level: i8| -> Vec<(usize, Option<i8>)> {
        people.iter().map(|at| (*at, Some(if *at == people[3] { level } else { QUIET }))).collect()
    };
    world.talk(SECOND, &all(QUIET));
    let before = world.clients[people[3]].written[0];

    world.talk(SECOND, &all(SPEAKS));

    let heard = world.heard(ben, people[3]);
    let first = u64::from(*heard.iter().find(|number| u64::from(**number) > before).unwrap());
    assert!(first - before <= 5, "{} packets were left out", first - before - 1);
}

#[test]
fn who_leaves_or_falls_silent_gives_its_place_to_the_next() {
    let mut world = World::new();
    let people = world.speakers(3);
    let (ben, _) = world.listener(3, Some(1));
    world.talk(SECOND, &[(people[0], Some(-20)), (people[1], Some(QUIET)), (people[2], Some(QUIET))]);
    assert_eq!(world.heard_of_late(ben, &people), [0]);

    // It is muted, and sends nothing.
    world.talk(2 * SECOND, &[(people[0], None), (people[1], Some(SPEAKS)), (people[2], Some(QUIET))]);
    assert!(world.heard_of_late(ben, &people).contains(&1));
    world.shard.close(PeerId(2));
    world.talk(SECOND, &[(people[2], Some(QUIET))]);
    world.talk(SECOND, &[(people[2], Some(SPEAKS))]);

    assert!(world.heard_of_late(ben, &people).contains(&2));
}

#[test]
fn a_publisher_that_claims_to_shout_silences_nobody_but_one() {
    let mut world = World::new();
    let people = world.speakers(5);
    let (ben, _) = world.listener(5, Some(3));
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for _ in 0..200 {
        let mut levels: Vec<(usize, Option<i8>)> = people.iter().map(|at| (*at, Some(SPEAKS))).collect();
        // Another level in each packet, the loudest there can be among them.
        levels[4].1 = Some(-random.random_range(0..=127));
        levels[3].1 = Some(QUIET);
        levels[2].1 = Some(QUIET);
        world.talk(Duration::from_millis(20), &levels);
    }

    let heard = world.heard_of_late(ben, &people);
    assert!(heard.len() == 3 && heard.contains(&0) && heard.contains(&1), "{heard:?}");
    for user in [0, 1] {
        let (came, sent) = (world.heard(ben, people[user]).len(), world.clients[people[user]].written[0]);
        assert!(came as u64 + 15 >= sent, "user{user}: {came} of {sent}");
    }
}

#[test]
fn sound_that_is_lost_is_asked_for_and_sent_again() {
    let mut world = World::new();
    let people = world.speakers(1);
    let (ben, watched) = world.listener(1, None);
    world.talk(SECOND / 2, &[(people[0], Some(SPEAKS))]);
    let mid = Mid::from(watched[0].mid.as_str());
    world.clients[ben].rtc.direct_api().stream_rx_by_mid(mid, None).unwrap().suppress_nack(false);

    world.clients[ben].loss = 0.1;
    world.talk(4 * SECOND, &[(people[0], Some(SPEAKS))]);
    world.clients[ben].loss = 0.0;
    world.talk(SECOND / 2, &[(people[0], Some(SPEAKS))]);

    // It came on its own stream, under its own number, or the library would not have taken it.
    let mut heard: Vec<u64> = world.clients[ben].got.iter().map(|packet| packet.seq).collect();
    heard.sort_unstable();
    heard.dedup();
    let sent = heard.last().unwrap() - heard[0] + 1;
    assert!(heard.len() as u64 + 5 >= sent, "{} of {sent}", heard.len());
    assert!(world.shard.shared.counters.resent_packets.load(Ordering::Relaxed) > 10);
}

#[test]
fn padding_of_a_publisher_is_no_loss_to_who_hears_it() {
    let mut world = World::new();
    let people = world.speakers(1);
    let (ben, _) = world.listener(1, None);
    for packets in 0..50 {
        world.talk(Duration::from_millis(40), &[(people[0], Some(SPEAKS))]);
        if packets % 3 == 0 {
            world.pad(people[0]);
        }
    }

    let mut heard: Vec<u64> = world.clients[ben].got.iter().map(|packet| packet.seq).collect();
    heard.sort_unstable();
    assert!(heard.len() >= 95 && heard.windows(2).all(|pair| pair[1] == pair[0] + 1), "{heard:?}");
}

#[test]
fn each_offer_says_anew_whether_missing_sound_is_asked_for() {
    let mut world = World::new();
    for asks in [true, false] {
        let at = world.client();
        let mut config =
            Rtc::builder().set_rtp_mode(true).clear_codecs().enable_vp8(true).enable_opus(true, false);
        let mut params = config.codec_config().params().to_vec();
        params.iter_mut().for_each(|params| params.set_fb_nack(asks));
        *config.codec_config() = CodecConfig::new_from_payload_params(params);
        world.clients[at].rtc = config.build(world.now);
        let local = Candidate::host(world.clients[at].address, Protocol::Udp).unwrap();
        world.clients[at].rtc.add_local_candidate(local);

        // Pictures first, and sound later on the same connection.
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let mut api = world.clients[at].rtc.sdp_api();
            api.add_media(kind, Direction::RecvOnly, None, None, None);
            let (offer, pending) = api.apply().unwrap();
            let id = PeerId(900 + u64::from(asks));
            let answer = world.shard.watch(id, &offer.to_sdp_string(), &[], None, world.now).unwrap();
            let sound = answer.sdp.split_once("m=audio").map(|(_, sound)| sound.contains(" nack\r\n"));
            assert_eq!(sound, (kind == MediaKind::Audio).then_some(asks), "{}", answer.sdp);
            world.accept(at, pending, &answer);
        }
    }
}
