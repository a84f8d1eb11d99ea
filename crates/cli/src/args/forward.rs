//! What to forward, in ssh's words, and what to allow.

use clap::Args;
use xtls_forward::{Allowed, Bind, Spec};

use super::talk::ConversationArgs;

#[derive(Debug, Clone, Args)]
#[command(
    mut_arg("listen", |arg| arg.long("serve").help(SERVE).conflicts_with_all(HERE)),
    mut_arg("account", |arg| arg.hide_short_help(true)),
)]
pub(crate) struct Forward {
    /// PORT:HOST:PORT: a port here → what the peer reaches.
    ///
    /// `[BIND:]PORT:HOST:PORT`, repeatable. Listens on loopback, unless BIND is an address, or `*` for every address. Port 0: any that
    /// is free.
    #[arg(short = 'L', long, value_name = "SPEC")]
    pub(crate) local: Vec<Spec>,
    /// PORT:HOST:PORT: a port there → what you reach.
    ///
    /// `[BIND:]PORT:HOST:PORT`, repeatable. The peer has to allow it, with `--allow-bind [BIND:]PORT`.
    #[arg(short = 'R', long, value_name = "SPEC")]
    pub(crate) remote: Vec<Spec>,
    /// A SOCKS5 proxy here, for what the peer reaches.
    ///
    /// `[BIND:]PORT`, repeatable. Have your programs give it names, not addresses: the peer looks them up.
    #[arg(short = 'D', long, value_name = "PORT")]
    pub(crate) dynamic: Vec<Bind>,
    /// Call until the peer answers, however long that takes.
    ///
    /// Otherwise a first call that fails is the end, and so are 5 minutes without a tunnel later.
    #[arg(long, hide_short_help = true)]
    pub(crate) wait: bool,
    /// --serve: what callers may connect to. Repeatable.
    ///
    /// HOST is a name, an address, or `*`: everything public, but nothing of this machine and its networks. PORT may be `*`.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "peer")]
    pub(crate) allow: Vec<Allowed>,
    /// --serve: where callers may have you listen, for their -R. Repeatable.
    #[arg(long, value_name = "[BIND:]PORT", conflicts_with = "peer")]
    pub(crate) allow_bind: Vec<Bind>,
    #[command(flatten)]
    pub(crate) talk: ConversationArgs,
}

/// Options of the other end than the serving one.
const HERE: [&str; 4] = ["local", "remote", "dynamic", "wait"];

const SERVE: &str = "Be the other end, for the peers in --accept";

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::{Cli, Verb};

    fn parsed(args: &str) -> Result<super::Forward, clap::Error> {
        let args = ["xtls", "forward"].into_iter().chain(args.split(' '));
        let verb = Cli::try_parse_from(args)?.verb;
        let Verb::Forward(args) = verb else {
            panic!("{verb:?}");
        };
        Ok(args)
    }

    #[test]
    fn the_two_ends_have_options_of_their_own() {
        for wrong in [
            "--serve --allow a:1 -L 1:a:1",
            "--serve --allow a:1 -R 1:a:1",
            "--serve --allow a:1 -D 1",
            "--serve --allow a:1 --wait",
            "--serve --allow a:1 juliet@capulet.example",
            "-L 1:a:1 --allow a:1 juliet@capulet.example",
            "-L 1:a:1 --allow-bind 1 juliet@capulet.example",
            "--listen --allow a:1",
            "-L 1:a:1",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        let serving = parsed("--serve --allow a:1 --allow *:443 --allow-bind 80").unwrap();
        assert!(serving.talk.listen);
        assert_eq!((serving.allow.len(), serving.allow_bind.len()), (2, 1));
    }

    #[test]
    fn forwards_are_written_as_for_ssh() {
        let args = "-L 8080:localhost:80 -L[::1]:1:[::1]:2 -R *:2222:localhost:22 -D 1080 juliet@capulet.example";
        let forward = parsed(args).unwrap();
        assert_eq!(forward.local.len(), 2);
        assert_eq!(forward.remote.len(), 1);
        assert_eq!(forward.dynamic.len(), 1);
        for wrong in [
            "-L 80",
            "-L 8080:localhost",
            "-R 1:a:65536",
            "-D a.example:1",
        ] {
            let error = parsed(&format!("{wrong} juliet@capulet.example")).unwrap_err();
            assert!(error.to_string().contains("invalid value"), "{error}");
        }
    }
}
