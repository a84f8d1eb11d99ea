//! Examples at the end of each verb's help, four each, of which every one is a command line that parses.

pub(crate) const XTLS: &str = "\
`xtls VERB -h` has examples. To begin: xtls demo, xtls account add.
More: xtls completions, xtls man, xtls --version";

pub(crate) const DEMO: &str = "\
Examples:
  xtls demo                  two peers, a server between them, and what it saw
  xtls demo --latency 200    as if the servers were far away
  xtls demo --rate 5000      as if a server throttled
  xtls demo --full           every stanza in full";

pub(crate) const ID: &str = "\
Examples:
  xtls id                                     your address and your key's fingerprint
  xtls id --qr                                as a QR code, for a camera
  xtls id --account romeo@montague.example    of one of several accounts
  xtls id --json                              for a program";

pub(crate) const ACCOUNT: &str = "\
Examples:
  xtls account add romeo@montague.example
  xtls account add romeo@montague.example --server localhost:5222 --ca-file ca.pem
  xtls account default romeo@montague.example
  xtls account list";

pub(crate) const CHAT: &str = "\
Examples:
  xtls chat juliet@capulet.example                      call somebody
  xtls chat --listen --accept romeo@montague.example    wait for a call
  xtls chat juliet@capulet.example/balcony              one of her clients
  echo hello | xtls chat juliet@capulet.example         say one thing, and leave";

pub(crate) const PIPE: &str = "\
Examples:
  tar c docs | xtls pipe -N juliet@capulet.example                send it
  xtls pipe --listen --accept romeo@montague.example | tar x      receive it
  xtls pipe --listen --accept romeo@montague.example -- uptime    serve it
  xtls pipe --recv-only juliet@capulet.example                    her answer";

pub(crate) const SEND: &str = "\
Examples:
  xtls send juliet@capulet.example report.pdf photos    files and folders
  xtls send --wait juliet@capulet.example report.pdf    as soon as she is there
  xtls send --code juliet@capulet.example report.pdf    first contact, by a code
  xtls send juliet@capulet.example/laptop report.pdf    to one of her devices";

pub(crate) const RECEIVE: &str = "\
Examples:
  xtls receive --accept romeo@montague.example             one transfer, asking
  xtls receive --accept romeo@montague.example --yes       without asking
  xtls receive --accept any --keep --dir inbox             all that come
  xtls receive --accept romeo@montague.example --code      first contact";

pub(crate) const STANZAS: &str = "\
Examples:
  xtls stanzas juliet@capulet.example                      one a line
  xtls stanzas --listen --accept romeo@montague.example    wait for tunnels
  xtls stanzas -N juliet@capulet.example < stanzas.xml     send them, and leave
  xtls stanzas --listen --accept any --once                one tunnel, from anyone";

pub(crate) const FORWARD: &str = "\
Examples:
  xtls forward -L 8080:localhost:80 juliet@capulet.example    her web server
  xtls forward -D 1080 juliet@capulet.example                 a SOCKS5 proxy
  xtls forward --serve --allow localhost:80 --accept romeo@montague.example
  xtls forward -R 2222:localhost:22 juliet@capulet.example    lend her your sshd";

pub(crate) const TRUST: &str = "\
Examples:
  xtls trust list                                  every key you have pinned
  xtls trust pin 'xmpp:juliet@capulet.example?xtls;fp=…'    from her `xtls id`
  xtls trust forget juliet@capulet.example         start over with somebody
  xtls trust revoke juliet@capulet.example         their device was stolen";

pub(crate) const VERIFY: &str = "\
Examples:
  xtls verify juliet@capulet.example                      compare four words
  xtls verify --listen --accept romeo@montague.example    the other end of it
  xtls verify --code juliet@capulet.example               a code you agreed on
  xtls verify --code-file code juliet@capulet.example     without a terminal";

pub(crate) const DOCTOR: &str = "\
Examples:
  xtls doctor                             your account and its server, step by step
  xtls doctor juliet@capulet.example      and whether she can be called
  xtls doctor juliet@capulet.example --json         for a program
  xtls doctor --server localhost:5222 --ca-file ca.pem    elsewhere than DNS says";

pub(crate) const TRACE: &str = "\
Examples:
  xtls trace session                      what `--record session` has recorded
  xtls trace session --svg session.svg    a picture of it
  xtls trace session --full | less        every chunk and answer
  xtls trace session --json               for a program";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  source <(xtls completions bash)                                    in ~/.bashrc
  source <(xtls completions zsh)                                     in ~/.zshrc
  xtls completions fish > ~/.config/fish/completions/xtls.fish
  xtls completions elvish >> ~/.config/elvish/rc.elv";

pub(crate) const MAN: &str = "\
Examples:
  xtls man | man -l -              read the page of the program
  xtls man chat | man -l -         the page of a verb
  xtls man > xtls.1                keep it
  xtls man --dir man1              every page, in a folder";

/// What `--help` adds: where else options come from, and how the program ends.
pub(crate) const MORE: &str = "\
Every option can also be set by a variable (--ca-file by XTLS_CA_FILE), and in the configuration file, by account or by verb.

Data goes to standard output, everything else to standard error.

Exit codes: 0 ok · 1 failed · 2 usage · 3 server refused or unreachable
            4 peer unavailable or refused · 5 identity mismatch
            6 truncated or corrupt · 7 timeout · 130 interrupted";
