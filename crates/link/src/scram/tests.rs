use ::sasl::client::Mechanism as _;
use ::sasl::client::mechanisms::Scram;
use ::sasl::common::scram::{ScramProvider, Sha1, Sha256};
use ::sasl::common::{ChannelBinding, Password};
use proptest::prelude::*;

use super::*;

const HASHES: [Hash; 3] = [Hash::Sha1, Hash::Sha256, Hash::Sha512];

fn begin() -> First {
    First::new(Hash::Sha256, Binding::None, "user", "abc".to_owned())
}

fn challenge(message: &str) -> Result<Recipe, Fault> {
    let challenged = begin().handle(message.as_bytes(), b"")?;
    Ok(challenged.recipe().clone())
}

fn refusal(message: &str) -> Fault {
    challenge(message).expect_err(message)
}

fn derive(recipe: &Recipe, password: &str) -> Keys {
    Job::new(recipe.clone(), Zeroizing::new(password.to_owned())).run()
}

#[test]
fn a_nonce_that_does_not_continue_ours_is_refused() {
    assert!(challenge("r=abcX,s=c2FsdA==,i=4096").is_ok());
    for nonce in ["", "abc", "xabc", "ABCx", "ab"] {
        assert_eq!(
            refusal(&format!("r={nonce},s=c2FsdA==,i=4096")),
            Fault::Nonce
        );
    }
    let nameless = First::new(Hash::Sha256, Binding::None, "user", String::new());
    assert!(nameless.handle(b"r=abcX,s=c2FsdA==,i=4096", b"").is_err());
}

#[test]
fn a_nonce_outside_of_printable_ascii_is_refused() {
    for more in [" ", "\t", "\0", "\x7f", "ä", "\u{202e}"] {
        let message = format!("r=abc{more},s=c2FsdA==,i=4096");
        assert_eq!(refusal(&message), Fault::Unprintable, "{more:?}");
    }
}

#[test]
fn rounds_below_4096_and_above_a_million_are_refused() {
    for rounds in [4_096, 4_097, 1_000_000] {
        let recipe = challenge(&format!("r=abcX,s=c2FsdA==,i={rounds}")).unwrap();
        assert_eq!(recipe.rounds, rounds);
    }
    for rounds in [1, 4_095, 1_000_001, u32::MAX] {
        let refusal = refusal(&format!("r=abcX,s=c2FsdA==,i={rounds}"));
        assert_eq!(refusal, Fault::Rounds(rounds));
        let text = format!("{rounds} iterations instead of 4096 to 1000000");
        assert_eq!(refusal.to_string(), text);
    }
}

#[test]
fn rounds_that_are_no_plain_number_are_refused() {
    for rounds in [
        "",
        "0",
        "-1",
        "+4096",
        "04096",
        " 4096",
        "4096 ",
        "many",
        "4294967296",
        "٤٠٩٦",
    ] {
        let message = format!("r=abcX,s=c2FsdA==,i={rounds}");
        assert_eq!(refusal(&message), Fault::NoNumber, "{rounds:?}");
    }
}

#[test]
fn a_salt_that_is_empty_or_no_base64_is_refused() {
    assert_eq!(refusal("r=abcX,s=,i=4096"), Fault::NoSalt);
    for salt in ["c2FsdA", "c2Fs dA==", "c2FsdB==", "c2FsdA==="] {
        let refusal = refusal(&format!("r=abcX,s={salt},i=4096"));
        assert!(matches!(refusal, Fault::Salt(_)), "{salt}");
    }
}

#[test]
fn a_mandatory_extension_is_refused_wherever_it_stands() {
    assert!(matches!(
        refusal("m=x,r=abcX,s=c2FsdA==,i=4096"),
        Fault::Missing("nonce", _)
    ));
    for message in [
        "r=abcX,s=c2FsdA==,i=4096,m=x",
        "r=abcX,s=c2FsdA==,i=4096,x=1,m=x",
    ] {
        assert_eq!(refusal(message), Fault::Mandatory);
    }
}

#[test]
fn fields_that_are_missing_or_in_another_order_are_refused() {
    for (message, missing) in [
        ("", "nonce"),
        ("e=other-error", "nonce"),
        ("s=c2FsdA==,r=abcX,i=4096", "nonce"),
        ("R=abcX,s=c2FsdA==,i=4096", "nonce"),
        ("r=abcX", "salt"),
        ("r=abcX,i=4096,s=c2FsdA==", "salt"),
        ("r=abcX,x=1,s=c2FsdA==,i=4096", "salt"),
        ("r=abcX,s=c2FsdA==", "iteration count"),
        ("r=abcX,s=c2FsdA==,x=1,i=4096", "iteration count"),
    ] {
        let refusal = refusal(message);
        assert!(
            matches!(refusal, Fault::Missing(name, _) if name == missing),
            "{message}: {refusal}"
        );
    }
}

#[test]
fn a_field_that_comes_twice_is_refused() {
    for (more, name) in [
        ("r=abcY", 'r'),
        ("s=c2FsdA==", 's'),
        ("i=5000", 'i'),
        ("x=1,x=2", 'x'),
    ] {
        let message = format!("r=abcX,s=c2FsdA==,i=4096,{more}");
        assert_eq!(refusal(&message), Fault::Twice(name));
    }
}

#[test]
fn what_is_no_attribute_is_refused() {
    for more in ["", ",", "x", "x=", "=1", "xy=1", "1=x", "ä=1", "x=\0"] {
        let message = format!("r=abcX,s=c2FsdA==,i=4096,{more}");
        assert_eq!(refusal(&message), Fault::NoField, "{more:?}");
    }
}

#[test]
fn unknown_attributes_are_skipped() {
    let message = "r=abcX,s=c2FsdA==,i=4096,d=AAAA,x==,Y=ä b";
    assert_eq!(
        challenge(message),
        challenge("r=abcX,s=c2FsdA==,i=4096"),
        "{message}"
    );
}

#[test]
fn a_message_of_4096_bytes_is_read_and_a_longer_one_refused() {
    let head = "r=abcX,s=c2FsdA==,i=4096,x=";
    let longest = head.to_owned() + &"x".repeat(4_096 - head.len());
    assert!(challenge(&longest).is_ok());
    assert_eq!(refusal(&(longest + "x")), Fault::TooLong);
    let fault = begin().handle(b"r=abcX\xff,s=c2FsdA==,i=4096", b"").err();
    assert_eq!(fault, Some(Fault::NotUtf8));
}

#[test]
fn an_offer_that_differs_from_the_one_received_is_tampering() {
    let offer = b"SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1etls-server-end-point";
    let handle = |hash: &str, offer: &[u8]| {
        let first = First::new(Hash::Sha1, Binding::None, "user", "abc".to_owned());
        let message = format!("r=abcX,s=c2FsdA==,i=4096,h={hash}");
        first.handle(message.as_bytes(), offer).err()
    };
    // The example of XEP-0474 §5.3.
    let hash = "G6k/rBLDqgOhRRaCuuatSDFkJ08=";
    assert_eq!(handle(hash, offer), None);
    assert_eq!(
        handle(hash, b"SCRAM-SHA-1\x1ftls-exporter"),
        Some(Fault::Tampered)
    );
    for other in [
        "G6k/rBLDqgOhRRaCuuatSDFkJ0",
        "AAAA",
        "=",
        "H6k/rBLDqgOhRRaCuuatSDFkJ08=",
    ] {
        assert_eq!(handle(other, offer), Some(Fault::Tampered), "{other}");
    }
}

/// Runs the exchange to the server's last message.
fn prove(hash: Hash, nonce: &str, challenge: &str) -> (String, String, Proving) {
    let first = First::new(hash, Binding::None, "user", nonce.to_owned());
    let message = first.message();
    let challenged = first.handle(challenge.as_bytes(), b"").unwrap();
    let keys = derive(challenged.recipe(), "pencil");
    let (proving, response) = challenged.prove(&keys);
    (message, response.to_string(), proving)
}

#[test]
fn what_does_not_prove_the_password_is_refused() {
    let (_, _, proving) = prove(Hash::Sha1, "abc", "r=abcX,s=c2FsdA==,i=4096");
    for (message, why) in [
        ("", NoProof::Missing),
        ("x=1", NoProof::Missing),
        ("V=AAAA", NoProof::Missing),
        ("x=1,v=AAAA", NoProof::Missing),
        ("v=", NoProof::Wrong),
        ("v=AAAA", NoProof::Wrong),
        ("v=not base64", NoProof::Wrong),
        ("v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", NoProof::Wrong),
        ("e=other-error", NoProof::Error("other-error".to_owned())),
        ("e=\u{1b}[31mgo away", NoProof::Error("unknown".to_owned())),
        (
            "v=AAAA,e=other-error",
            NoProof::Unreadable(Fault::Twice('e')),
        ),
        ("v=AAAA,m=x", NoProof::Unreadable(Fault::Mandatory)),
        ("v=AAAA,", NoProof::Unreadable(Fault::NoField)),
    ] {
        assert_eq!(proving.check(message.as_bytes()), Err(why), "{message}");
    }
    let long = "v=".to_owned() + &"A".repeat(4_095);
    assert_eq!(
        proving.check(long.as_bytes()),
        Err(NoProof::Unreadable(Fault::TooLong))
    );
}

#[test]
fn the_example_of_rfc_5802_is_reproduced() {
    let (first, last, proving) = prove(
        Hash::Sha1,
        "fyko+d2lbbFgONRv9qkxdawL",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    );
    assert_eq!(first, "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
    assert_eq!(
        last,
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    );
    assert_eq!(proving.check(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), Ok(()));
    assert_eq!(proving.check(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=,x=1"), Ok(()));
}

#[test]
fn the_example_of_rfc_7677_is_reproduced() {
    let (first, last, proving) = prove(
        Hash::Sha256,
        "rOprNGfwEbeRWgbNEkqO",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    );
    assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    assert_eq!(
        last,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    let signature = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    assert_eq!(proving.check(signature), Ok(()));
}

/// The vector that several implementations of SCRAM-SHA-512 test with; it agrees with Python's hashlib.
#[test]
fn the_public_vector_of_scram_sha_512_is_reproduced() {
    let (_, last, proving) = prove(
        Hash::Sha512,
        "rOprNGfwEbeRWgbNEkqO",
        "r=rOprNGfwEbeRWgbNEkqO02431b08-2f89-4bad-a4e6-80c0564ec865,s=Yin2FuHTt/M0kJWb0t9OI32n2VmOGi3m+JfjOvuDF88=,i=4096",
    );
    assert_eq!(
        last,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO02431b08-2f89-4bad-a4e6-80c0564ec865,\
         p=Hc5yec3NmCD7t+kFRw4/3yD6/F3SQHc7AVYschRja+Bc3sbdjlA0eH1OjJc0DD4ghn1tnXN5/Wr6qm9xmaHt4A=="
    );
    let signature = b"v=BQuhnKHqYDwQWS5jAw4sZed+C9KFUALsbrq81bB0mh+bcUUbbMPNNmBIupnS2AmyyDnG5CTBQtkjJ9kyY4kzmw==";
    assert_eq!(proving.check(signature), Ok(()));
}

/// Python's hashlib and hmac give the same.
#[test]
fn a_bound_log_in_covers_the_exporter() {
    for (hash, proof) in HASHES.into_iter().zip([
        "6E9AF+bRSWe36IwBTYPlRV1mVVQ=",
        "A67AeriX8Ucad32VNTjl/l59SWe74aDuzCBcLjqLJtE=",
        "QpgfktB4JiCZQZLlA0k/VuhQuzibqPR480R3q493/pd6Ra6QvdUhNME5wdvw1cVJrwklZXteq9quGxMeW82Yyw==",
    ]) {
        let exporter = Exporter::new(Zeroizing::new([7; 32]));
        let binding = Binding::Exporter(exporter);
        let first = First::new(hash, binding, "juliet", "cccccccc".to_owned());
        assert_eq!(first.message(), "p=tls-exporter,,n=juliet,r=cccccccc");
        let challenged = first.handle(b"r=ccccccccssssssss,s=c2FsdA==,i=4096", b"");
        let challenged = challenged.ok().unwrap();
        let keys = derive(challenged.recipe(), "pencil");
        assert_eq!(
            *challenged.prove(&keys).1,
            format!(
                "c=cD10bHMtZXhwb3J0ZXIsLAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH,r=ccccccccssssssss,p={proof}"
            )
        );
    }
}

#[test]
fn only_the_exporter_binds() {
    let exporter = Exporter::new(Zeroizing::new([7; 32]));
    assert!(Binding::Exporter(exporter).binds());
    assert!(!Binding::None.binds() && !Binding::Unoffered.binds());
}

#[test]
fn a_nonce_may_stand_in_its_field() {
    for byte in [0, 62, 63, 0xfb, 0xff] {
        let nonce = nonce(&[byte; 32]);
        assert_eq!(nonce.len(), 44);
        assert!(
            nonce
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b',')
        );
    }
}

#[test]
fn a_user_name_cannot_break_out_of_its_field() {
    let first = First::new(Hash::Sha1, Binding::Unoffered, "a,r=b=2C", "abc".to_owned());
    assert_eq!(first.message(), "y,,n=a=2Cr=3Db=3D2C,r=abc");
}

#[test]
fn kept_keys_serve_the_same_recipe_only() {
    let recipe = challenge("r=abcX,s=c2FsdA==,i=4096").unwrap();
    let mut cache = KeyCache::default();
    assert!(cache.find(&recipe).is_none());
    cache.keep(derive(&recipe, "pencil"));
    assert!(cache.find(&recipe).is_some());
    let salted = challenge("r=abcX,s=U0FMVA==,i=4096").unwrap();
    let longer = challenge("r=abcX,s=c2FsdA==,i=4097").unwrap();
    let hash = Hash::Sha512;
    let hashed = Recipe {
        hash,
        ..recipe.clone()
    };
    for other in [salted, longer, hashed] {
        assert!(cache.find(&other).is_none(), "{other:?}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let recipe = challenge("r=abcX,s=c2FsdA==,i=4096").unwrap();
    let password = Zeroizing::new("pencil".to_owned());
    let job = Job::new(recipe, password);
    assert!(!format!("{job:?}").contains("pencil"));
    let keys = job.run();
    let mut cache = KeyCache::default();
    let length = format!("{keys:?}").len();
    cache.keep(keys);
    // A hash, a salt and a number, and no key of 32 bytes.
    assert!(length < 120 && format!("{cache:?}").len() < 160);
    let exporter = Exporter::new(Zeroizing::new([77; 32]));
    assert!(!format!("{:?}", Binding::Exporter(exporter)).contains("77"));
}

/// The same exchange by the crate `sasl` and by us. Its nonce is its own choice, and told when the two disagree.
fn compare<S: ScramProvider>(hash: Hash, case: &Case) {
    let exporter = || Exporter::new(Zeroizing::new([9; 32]));
    let (theirs, binding) = match case.flag {
        0 => (ChannelBinding::None, Binding::None),
        1 => (ChannelBinding::Unsupported, Binding::Unoffered),
        _ => (
            ChannelBinding::TlsExporter(vec![9; 32]),
            Binding::Exporter(exporter()),
        ),
    };
    let escaped = case.user.replace('=', "=3D").replace(',', "=2C");
    let mut reference = Scram::<S>::new(escaped, case.password.clone(), theirs).unwrap();
    let said = String::from_utf8(reference.initial()).unwrap();
    let nonce = said.rsplit_once(",r=").unwrap().1;
    let first = First::new(hash, binding, &case.user, nonce.to_owned());
    assert_eq!(first.message(), said);

    let salt = encode(&case.salt);
    let challenge = format!("r={nonce}{},s={},i={}", case.more, *salt, case.rounds);
    let challenged = first.handle(challenge.as_bytes(), b"").ok().unwrap();
    let keys = derive(challenged.recipe(), &case.password);
    let (proving, response) = challenged.prove(&keys);
    let expected = reference.response(challenge.as_bytes()).unwrap();
    assert_eq!(*response, String::from_utf8(expected).unwrap(), "{said}");

    let password = Password::Plain(case.password.clone());
    let salted = S::derive(&password, &case.salt, case.rounds).unwrap();
    let key = S::hmac(b"Server Key", &salted).unwrap();
    let bare = said.splitn(3, ',').nth(2).unwrap();
    let unproven = response.rsplit_once(",p=").unwrap().0;
    let all = format!("{bare},{challenge},{unproven}");
    let mut signature = S::hmac(all.as_bytes(), &key).unwrap();
    let right = format!("v={}", *encode(&signature));
    assert_eq!(proving.check(right.as_bytes()), Ok(()), "{said}");
    reference.success(right.as_bytes()).unwrap();
    signature[case.salt.len() % 20] ^= 1;
    let wrong = format!("v={}", *encode(&signature));
    assert_eq!(proving.check(wrong.as_bytes()), Err(NoProof::Wrong));
    reference.success(wrong.as_bytes()).unwrap_err();
}

#[derive(Debug)]
struct Case {
    user: String,
    /// Also longer than a block of the hash, which HMAC hashes first.
    password: String,
    salt: Vec<u8>,
    more: String,
    rounds: u32,
    flag: u8,
}

fn cases() -> impl Strategy<Value = Case> {
    let password = prop_oneof![".{0,40}", "[ -~]{60,200}"];
    let salt = prop::collection::vec(any::<u8>(), 1..80);
    let numbers = (4_096..4_200_u32, 0..3_u8);
    ("[^\0]{1,24}", password, salt, "[!-+\\--~]{1,40}", numbers).prop_map(
        |(user, password, salt, more, (rounds, flag))| Case {
            user,
            password,
            salt,
            more,
            rounds,
            flag,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_crate_sasl_says_the_same(case in cases()) {
        compare::<Sha1>(Hash::Sha1, &case);
        compare::<Sha256>(Hash::Sha256, &case);
    }
}
