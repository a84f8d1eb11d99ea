//! `xtls trust` and `xtls id`.

use std::io::IsTerminal as _;

use xtls_client::PinsError;
use xtls_client::tls::trust::{Doubt, Level, MAX_ATTEMPTS, Method, Pin, PinError, Store};
use xtls_client::tls::{Fingerprint, Identity};

use crate::account::{account, home, known};
use crate::answer::{answer, print_all};
use crate::args::{Account, Id, Trust, TrustPeer, TrustPin, TrustRevoke};
use crate::failure::{Code, Failure};
use crate::peer::Peer;
use crate::say::Say;
use crate::suggest::Suggest;
use crate::{peer, qr, words};

/// Shows your address and key.
pub(crate) fn id(args: &Id, say: Say) -> Result<(), Failure> {
    let home = home(&args.account)?;
    let account = account(&args.account, &home)?;
    let identity = home.identity(&account)?;
    let fingerprint = identity.fingerprint();
    let folder = home.account(&account);
    let uri = peer::uri(&account, &fingerprint);
    let words = words::of_fingerprint(&fingerprint);
    let fields = [
        ("address", account.bare().into()),
        ("fingerprint", fingerprint.hex().into()),
        ("words", words.join(" ").into()),
        ("uri", uri.as_str().into()),
        ("folder", folder.to_string_lossy().into()),
    ];
    if args.qr && !say.is_json() {
        return show_code(&uri);
    }
    let mut rows = vec![("address", vec![account.bare().to_owned()])];
    rows.push(("fingerprint", words::rows(&fingerprint).to_vec()));
    rows.push(("words", words));
    rows.push(("uri", vec![uri.clone()]));
    let text: String = rows.iter().map(|(name, lines)| row(name, lines)).collect();
    answer("id", &fields, &text, say)?;
    if !say.is_json() {
        say.event(
            "folder",
            &[],
            format_args!("the key is stored in {}", folder.display()),
        );
    }
    Ok(())
}

/// A label and its value, one line below the other.
fn row(name: &str, lines: &[String]) -> String {
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let name = if at == 0 { name } else { "" };
        text.push_str(&format!("{name:<13}{line}\n"));
    }
    text
}

/// Shows the code alone, so that it fits on a small screen. The colours are necessary: without them, the code is inverted
/// on dark terminals.
fn show_code(uri: &str) -> Result<(), Failure> {
    let lines =
        qr::lines(uri).ok_or_else(|| Failure::failed("the address is too long for a QR code"))?;
    let terminal = std::io::stdout().is_terminal();
    let text: String = lines
        .iter()
        .map(|line| match terminal {
            true => qr::coloured(line) + "\n",
            false => format!("{line}\n"),
        })
        .collect();
    print_all(&text)
}

pub(crate) fn trust(verb: &Trust, say: Say) -> Result<(), Failure> {
    match verb {
        Trust::List(account) => list(account, say),
        Trust::Show(args) => show(args, say),
        Trust::Pin(args) => pin(args, say),
        Trust::Forget(args) => forget(args, say),
        Trust::Revoke(args) => revoke(args, say),
    }
}

fn list(args: &Account, say: Say) -> Result<(), Failure> {
    let home = home(args)?;
    let account = known(args, &home)?;
    let store = home.pins(&account)?.store();
    let mut none = true;
    for (peer, pins) in store.list() {
        for pin in pins {
            none = false;
            print(peer, pin, say)?;
        }
    }
    for (peer, doubts) in store.doubted() {
        for doubt in doubts {
            none = false;
            print_doubt(peer, doubt, say)?;
        }
    }
    if none {
        say.event(
            "empty",
            &[],
            format_args!("{} has not pinned any keys yet", account.bare()),
        );
    }
    Ok(())
}

fn show(args: &TrustPeer, say: Say) -> Result<(), Failure> {
    let home = home(&args.account)?;
    let account = known(&args.account, &home)?;
    let store = home.pins(&account)?.store();
    let mut none = true;
    for pin in store
        .of(args.peer.bare())
        .iter()
        .filter(|pin| meant(&args.peer, pin))
    {
        none = false;
        print(args.peer.bare(), pin, say)?;
    }
    for doubt in doubts(&store, &args.peer) {
        none = false;
        print_doubt(args.peer.bare(), doubt, say)?;
    }
    if none {
        return Err(no_pin(&args.peer));
    }
    let failed = store.failed(args.peer.bare());
    if failed > 0 {
        say.warn(
            "failed_attempts",
            &[("peer", args.peer.bare().into()), ("failed", failed.into())],
            format_args!(
                "{failed} of {MAX_ATTEMPTS} attempts to verify them failed or were broken off within a day: \
                 someone may be guessing"
            ),
        );
    }
    Ok(())
}

/// Whether the pin is meant: a URI selects the one key that it names.
fn meant(peer: &Peer, pin: &Pin) -> bool {
    peer.key().is_none_or(|key| key == pin.fingerprint)
}

/// The marks on the keys that are meant.
fn doubts<'a>(store: &'a Store, peer: &Peer) -> impl Iterator<Item = &'a Doubt> {
    let key = peer.key();
    let doubts = store.doubts(peer.bare()).iter();
    doubts.filter(move |doubt| key.is_none_or(|key| key == doubt.fingerprint))
}

fn no_pin(peer: &Peer) -> Failure {
    let which = if peer.key().is_some() {
        "this key is not"
    } else {
        "no key is"
    };
    Failure::failed(format!("{which} pinned for {}", peer.bare()))
}

fn pin(args: &TrustPin, say: Say) -> Result<(), Failure> {
    let home = home(&args.account)?;
    let account = known(&args.account, &home)?;
    let key = fingerprint(&args.fingerprint, &args.peer)?.ok_or_else(|| {
        Failure::usage(
            "the fingerprint is missing: give it, or the whole URI that their `xtls id` shows",
        )
    })?;
    not_own(key, home.key(&account)?.as_ref())?;
    let peer = args.peer.bare();
    let level = Level::Verified(Method::Fingerprint);
    let pinned = home.pins(&account)?.change(|store, now| {
        if args.another {
            store.pin_another(peer, key, level, now)
        } else {
            store.pin(peer, key, level, now)
        }
    });
    pinned.map_err(|error| not_pinned(error, &Suggest::new(&args.account), peer, key))?;
    say.event(
        "pinned",
        &[("peer", peer.into()), ("fingerprint", key.hex().into())],
        format_args!("pinned {key} for {peer}"),
    );
    Ok(())
}

/// What to do when the store refuses a key that the user gave.
fn not_pinned(error: PinsError, suggest: &Suggest, peer: &str, key: Fingerprint) -> Failure {
    let hint = match &error {
        PinsError::Pin(PinError::KnownJid { .. }) => {
            let hex = key.hex();
            let lines = [
                suggest.line(&["trust", "forget"], &[peer]),
                suggest.line(&["trust", "pin", "--another"], &[peer, &hex]),
            ];
            Some(format!(
                "pins are never overwritten: forget the old key first, or add this one as the key of a second \
                 device:{}",
                Suggest::block(&lines)
            ))
        }
        PinsError::Pin(PinError::Revoked { .. }) => Some(
            "a revoked key stays refused for good, because someone else may have it: they need a new one"
                .to_owned(),
        ),
        PinsError::Pin(PinError::KeyOfAnother { owner, .. }) => Some(format!(
            "a key belongs to one address only; this shows what is known about it:{}",
            Suggest::block(&[suggest.line(&["trust", "show"], &[owner])])
        )),
        PinsError::Pin(_)
        | PinsError::Damaged { .. }
        | PinsError::Vanished { .. }
        | PinsError::File { .. }
        | PinsError::Private(_)
        | _ => None,
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn forget(args: &TrustPeer, say: Say) -> Result<(), Failure> {
    let home = home(&args.account)?;
    let account = known(&args.account, &home)?;
    let peer = args.peer.bare();
    let mut pins = home.pins(&account)?;
    let store = pins.store();
    let known: Vec<_> = store
        .of(peer)
        .iter()
        .filter(|pin| meant(&args.peer, pin))
        .collect();
    let marks = doubts(&store, &args.peer).count();
    if known.is_empty() && marks == 0 {
        return Err(no_pin(&args.peer));
    }
    let dropped = match args.peer.key() {
        None => pins.change(|store, _| Ok(store.forget(peer)))?,
        // Not even by its name is a revoked key forgotten.
        Some(_) if known.iter().any(|pin| pin.level == Level::Revoked) => 0,
        Some(key) => {
            let pinned = known.len();
            pins.change(|store, _| Ok(store.forget_key(peer, &key)))?;
            pinned
        }
    };
    let also = if marks > 0 {
        ", and what spoke against keys of theirs"
    } else {
        ""
    };
    say.event(
        "forgotten",
        &[
            ("peer", peer.into()),
            ("keys", dropped.into()),
            ("marks", marks.into()),
        ],
        format_args!(
            "forgot {} of {peer}{also}; revoked keys stay refused",
            keys(dropped)
        ),
    );
    Ok(())
}

fn keys(count: usize) -> String {
    match count {
        1 => "1 key".to_owned(),
        several => format!("{several} keys"),
    }
}

fn revoke(args: &TrustRevoke, say: Say) -> Result<(), Failure> {
    let home = home(&args.account)?;
    let account = known(&args.account, &home)?;
    let peer = args.peer.bare();
    let mut pins = home.pins(&account)?;
    let keys: Vec<Fingerprint> = match fingerprint(&args.fingerprint, &args.peer)? {
        None => {
            let store = pins.store();
            let live = store.of(peer).iter();
            let live = live.filter(|pin| pin.level != Level::Revoked);
            live.map(|pin| pin.fingerprint).collect()
        }
        Some(key) => {
            not_own(key, home.key(&account)?.as_ref())?;
            vec![key]
        }
    };
    if keys.is_empty() {
        return Err(Failure::failed(format!("no key is pinned for {peer}"))
            .hint("to revoke a key that is not pinned, give its fingerprint"));
    }
    // All or none.
    pins.change(|store, now| {
        keys.iter()
            .try_for_each(|key| store.revoke(peer, *key, now))
    })?;
    for key in keys {
        say.event(
            "revoked",
            &[("peer", peer.into()), ("fingerprint", key.hex().into())],
            format_args!(
                "revoked {key} of {peer}: it is refused from now on, even after `trust forget`"
            ),
        );
    }
    Ok(())
}

fn not_own(key: Fingerprint, own: Option<&Identity>) -> Result<(), Failure> {
    if own.is_none_or(|own| own.fingerprint() != key) {
        return Ok(());
    }
    let what = "this is the fingerprint of your own key";
    Err(Failure::new(Code::Identity, what))
}

/// Reads the fingerprint as `xtls id` prints it, in one argument or several, or in the URI of the peer. The two must match.
fn fingerprint(words: &[String], peer: &Peer) -> Result<Option<Fingerprint>, Failure> {
    if words.is_empty() {
        return Ok(peer.key());
    }
    let key = Fingerprint::parse(&words.join(" "))
        .map_err(|error| Failure::usage(format!("the fingerprint: {error}")))?;
    if peer.key().is_some_and(|named| named != key) {
        return Err(Failure::usage(
            "the URI names another fingerprint than the one given with it",
        ));
    }
    Ok(Some(key))
}

/// Pins and marks display as a fingerprint, followed by what is known about the key in parentheses.
fn in_parentheses(text: &str) -> &str {
    let known = text.split_once(" (").map_or("", |(_, known)| known);
    known.strip_suffix(')').unwrap_or(known)
}

/// A key that did not stand a comparison, pinned or not.
fn print_doubt(peer: &str, doubt: &Doubt, say: Say) -> Result<(), Failure> {
    let by = match doubt.by {
        Method::Words => "words",
        Method::Code => "code",
        Method::Fingerprint | _ => "fingerprint",
    };
    let fields = [
        ("peer", peer.into()),
        ("fingerprint", doubt.fingerprint.hex().into()),
        ("by", by.into()),
        ("since", doubt.since.into()),
    ];
    let [first, second] = words::rows(&doubt.fingerprint);
    let text = doubt.to_string();
    let why = in_parentheses(&text);
    let until = if doubt.is_final() {
        "until you pin, revoke or forget it"
    } else {
        "until it stands another verification"
    };
    let text = format!("{peer}\n    {first}\n    {second}\n    REFUSED {until}: {why}\n");
    answer("doubt", &fields, &text, say)
}

fn print(peer: &str, pin: &Pin, say: Say) -> Result<(), Failure> {
    let fields = [
        ("peer", peer.into()),
        ("fingerprint", pin.fingerprint.hex().into()),
        ("level", pin.level.to_string().into()),
        ("first_seen", pin.first_seen.into()),
        ("since", pin.since.into()),
        ("last_seen", pin.last_seen.into()),
    ];
    let [first, second] = words::rows(&pin.fingerprint);
    let pin = pin.to_string();
    let known = in_parentheses(&pin).replacen(", first seen", "\n    first seen", 1);
    let text = format!("{peer}\n    {first}\n    {second}\n    {known}\n");
    answer("pin", &fields, &text, say)
}
