//! The fuzz targets of `tests/fuzz`: under libFuzzer if there is a C++ compiler, with the plain engine anywhere.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use xshell::cmd;

use crate::packages;
use crate::workspace::Workspace;

/// The targets; the names of `xtls_tests::fuzz::Target`.
const TARGETS: &[&str] = &[
    "framer",
    "stanza",
    "differential",
    "base64",
    "ibb",
    "link",
    "parties",
    "path",
    "signal",
    "s5b",
];
/// How long a run takes by default.
const SECONDS: u64 = 60;
/// Bytes per input: more makes each slower and finds the same. base64 has a code path for long texts.
const MAX_LEN: &str = "-max_len=512";

/// The flags that cargo-fuzz passes, except those that need a nightly compiler.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";
/// Finds errors in the unsafe code of dependencies. The flag is not stable, so the compiler is made to accept it.
const ADDRESSES: &str = "-Zsanitizer=address";

/// The options of `cargo xtask fuzz`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    target: String,
    work: Work,
    engine: Engine,
}

#[derive(Debug, PartialEq, Eq)]
enum Work {
    /// Until the time or the executions are used up; 0 means no limit.
    Search { seconds: u64, runs: u64 },
    /// Replaces the corpus with the smallest subset of it, and of what was found, that reaches the same code.
    Merge,
    /// One file.
    Check(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    LibFuzzer,
    /// With a check on every memory access, at about half the speed.
    Addresses,
    Plain,
}

impl Options {
    pub(crate) fn parse(args: &[OsString]) -> Result<Self> {
        let mut args = args
            .iter()
            .map(|arg| arg.to_str().context("an argument is not UTF-8"));
        let target = args.next().context("cargo xtask fuzz needs a target")??;
        ensure!(
            TARGETS.contains(&target),
            "no fuzz target named {target}: there are {}",
            TARGETS.join(", ")
        );
        let (mut seconds, mut runs, mut engine, mut other) = (None, 0, Engine::LibFuzzer, None);
        while let Some(arg) = args.next() {
            let mut value = || {
                args.next()
                    .context("a value is missing")
                    .and_then(|value| value)
            };
            match arg? {
                "--runs" => runs = value()?.parse().context("--runs takes a number")?,
                "--merge" => other = Some(Work::Merge),
                "--check" => other = Some(Work::Check(PathBuf::from(value()?))),
                "--plain" => engine = Engine::Plain,
                "--asan" => engine = Engine::Addresses,
                arg if seconds.is_none() && !arg.starts_with('-') => {
                    seconds = Some(arg.parse().context("the seconds are not a number")?);
                }
                arg => bail!("unknown argument of cargo xtask fuzz: {arg}"),
            }
        }
        if other == Some(Work::Merge) && engine == Engine::Plain {
            bail!("the plain engine has no coverage data and cannot merge");
        }
        // A run limited by executions is not limited by the default time.
        let seconds = seconds.unwrap_or(if runs == 0 { SECONDS } else { 0 });
        Ok(Self {
            target: target.to_owned(),
            work: other.unwrap_or(Work::Search { seconds, runs }),
            engine,
        })
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    packages::ensure_expat(&workspace.sh)?;
    let mut engine = options.engine;
    if engine != Engine::Plain && !has_cxx() {
        ensure!(options.work != Work::Merge, "--merge needs a C++ compiler");
        eprintln!(
            "no C++ compiler for libFuzzer: the plain engine goes on, without coverage (Debian: g++)"
        );
        engine = Engine::Plain;
    }
    let folders = Folders::make(workspace, &options.target)?;
    let program = build(workspace, &options.target, engine)?;
    match (&options.work, engine) {
        (Work::Check(file), _) => check(&folders, &program, options, engine, file),
        (Work::Search { seconds, runs }, Engine::Plain) => {
            let mut command = folders.command(&program);
            command.arg(&options.target).arg(&folders.corpora);
            command.args([seconds.to_string(), runs.to_string(), seed()?.to_string()]);
            found_nothing(command, &folders)
        }
        (Work::Search { seconds, runs }, Engine::LibFuzzer | Engine::Addresses) => {
            search(&folders, &program, *seconds, *runs)
        }
        (Work::Merge, _) => merge(&folders, &program),
    }
}

/// Where inputs come from and where they are written.
struct Folders {
    /// All corpora of the repository.
    corpora: PathBuf,
    /// That of the target.
    corpus: PathBuf,
    /// Inputs that reached new code.
    found: PathBuf,
    /// Inputs that broke something.
    findings: PathBuf,
    words: PathBuf,
}

impl Folders {
    fn make(workspace: &Workspace, target: &str) -> Result<Self> {
        let here = workspace.root.join("tests").join("fuzz");
        let work = workspace.target.join("fuzz");
        let corpora = here.join("corpus");
        let folders = Self {
            corpus: corpora.join(target),
            corpora,
            found: work.join("found").join(target),
            findings: work.join("findings").join(target),
            words: here.join("words.dict"),
        };
        fs::create_dir_all(&folders.found)?;
        fs::create_dir_all(&folders.findings)?;
        Ok(folders)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("XTLS_FINDINGS", &self.findings);
        command
    }

    /// The newest file among the findings.
    fn newest(&self) -> Option<PathBuf> {
        let files = fs::read_dir(&self.findings).ok()?.filter_map(Result::ok);
        let dated =
            files.filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())));
        dated.max().map(|(_, path)| path)
    }
}

fn has_cxx() -> bool {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let probe = Command::new(compiler)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}

/// Builds the program of the target. With coverage the host is named as a target, so that build scripts and macros are
/// built without it.
fn build(workspace: &Workspace, target: &str, engine: Engine) -> Result<PathBuf> {
    let sh = &workspace.sh;
    let manifest = workspace.root.join("tests").join("fuzz").join("Cargo.toml");
    let base = cmd!(
        sh,
        "cargo build --locked --release --manifest-path {manifest}"
    );
    let (folder, name) = match engine {
        Engine::Plain => ("plain", "plain"),
        Engine::LibFuzzer => ("libfuzzer", target),
        Engine::Addresses => ("asan", target),
    };
    let folder = workspace.target.join("fuzz").join("build").join(folder);
    let base = base.arg("--target-dir").arg(&folder).args(["--bin", name]);
    if engine == Engine::Plain {
        base.run()?;
        return Ok(folder.join("release").join(name));
    }
    let host = host(workspace)?;
    let base = base.args(["--features", "libfuzzer", "--target", &host]);
    match engine {
        Engine::Addresses => base
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", format!("{COVERAGE} {ADDRESSES}"))
            .run()?,
        Engine::LibFuzzer | Engine::Plain => base.env("RUSTFLAGS", COVERAGE).run()?,
    }
    Ok(folder.join(host).join("release").join(name))
}

/// rustc's name for this machine.
fn host(workspace: &Workspace) -> Result<String> {
    let version = cmd!(workspace.sh, "rustc -vV").quiet().read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

fn search(folders: &Folders, program: &Path, seconds: u64, runs: u64) -> Result<()> {
    let mut command = folders.command(program);
    command
        .args([
            MAX_LEN,
            "-timeout=60",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", folders.findings.display()))
        .arg(format!("-dict={}", folders.words.display()));
    if runs > 0 {
        command.arg(format!("-runs={runs}"));
    }
    command.args([&folders.found, &folders.corpus]);
    let start = Instant::now();
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    let mut executions = None;
    for line in BufReader::new(child.stderr.take().context("is piped")?).lines() {
        let line = line?;
        if let Some(count) = executed(&line) {
            executions = Some(count);
        }
        eprintln!("{line}");
    }
    let status = child.wait()?;
    let time = start.elapsed().as_secs_f64();
    if let Some(count) = executions {
        eprintln!(
            "{count} executions in {time:.1} s, {:.0} a second",
            count as f64 / time
        );
    }
    if status.success() {
        return Ok(());
    }
    match folders.newest() {
        Some(path) => bail!("a finding: {}", path.display()),
        None => bail!("the fuzzer ended with {status}"),
    }
}

/// The number that libFuzzer prints at the end.
fn executed(line: &str) -> Option<u64> {
    let number = line.strip_prefix("stat::number_of_executed_units:")?;
    number.trim().parse().ok()
}

fn found_nothing(mut command: Command, folders: &Folders) -> Result<()> {
    let status = command.status()?;
    if status.success() {
        return Ok(());
    }
    match folders.newest() {
        Some(path) => bail!("a finding: {}", path.display()),
        None => bail!("the fuzzer ended with {status}"),
    }
}

fn check(
    folders: &Folders,
    program: &Path,
    options: &Options,
    engine: Engine,
    file: &Path,
) -> Result<()> {
    let mut command = folders.command(program);
    if engine == Engine::Plain {
        command.arg(&options.target);
    }
    let status = command.arg(file).status()?;
    ensure!(status.success(), "a finding: {}", file.display());
    Ok(())
}

fn merge(folders: &Folders, program: &Path) -> Result<()> {
    let merged = folders.found.with_extension("merged");
    if merged.exists() {
        fs::remove_dir_all(&merged)?;
    }
    fs::create_dir_all(&merged)?;
    let mut command = folders.command(program);
    command
        .args(["-merge=1", MAX_LEN])
        .args([&merged, &folders.corpus, &folders.found]);
    found_nothing(command, folders)?;
    // Seeds that a person named stay: each stands for a rule.
    let mut named = BTreeSet::new();
    for file in fs::read_dir(&folders.corpus)? {
        let path = file?.path();
        if path.extension().is_some() {
            named.insert(fs::read(path)?);
        } else {
            fs::remove_file(path)?;
        }
    }
    let mut count = 0_usize;
    for file in fs::read_dir(&merged)? {
        let file = file?;
        if !named.contains(&fs::read(file.path())?) {
            fs::copy(file.path(), folders.corpus.join(file.file_name()))?;
            count += 1;
        }
    }
    let named = named.len();
    eprintln!(
        "{count} inputs and {named} seeds in {}",
        folders.corpus.display()
    );
    Ok(())
}

/// A different seed each time: the short version in the tests has a fixed one.
fn seed() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        Options::parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn an_unknown_target_is_refused() {
        assert!(parse(&["frame"]).is_err());
        assert!(parse(&[]).is_err());
    }

    #[test]
    fn an_unknown_flag_or_a_second_number_is_refused() {
        assert!(parse(&["framer", "--fast"]).is_err());
        assert!(parse(&["framer", "1", "2"]).is_err());
        assert!(parse(&["framer", "--runs"]).is_err());
    }

    #[test]
    fn a_run_takes_a_minute_by_default() {
        let work = |words: &[&str]| parse(words).unwrap().work;
        assert_eq!(
            work(&["framer"]),
            Work::Search {
                seconds: 60,
                runs: 0
            }
        );
        assert_eq!(
            work(&["framer", "5"]),
            Work::Search {
                seconds: 5,
                runs: 0
            }
        );
        let counted = work(&["framer", "--runs", "9"]);
        assert_eq!(
            counted,
            Work::Search {
                seconds: 0,
                runs: 9
            }
        );
    }

    #[test]
    fn the_plain_engine_does_not_merge() {
        assert!(parse(&["framer", "--merge", "--plain"]).is_err());
        assert_eq!(parse(&["framer", "--merge"]).unwrap().work, Work::Merge);
    }

    #[test]
    fn executions_are_read_off_the_statistics() {
        assert_eq!(executed("stat::number_of_executed_units: 123"), Some(123));
        assert_eq!(executed("#123 DONE cov: 4"), None);
    }
}
