//! Core dumps, which would write keys and plaintext from memory to disk.

use crate::say::Say;

/// Disables them for this process: with a size limit of 0 and, on Linux, with the flag that also keeps away helpers such as
/// systemd-coredump and debuggers of the same user.
pub(crate) fn off(say: Say) {
    if let Err(error) = switch_off() {
        say.warn(
            "core_dumps",
            &[("why", error.to_string().into())],
            format_args!("core dumps cannot be switched off: {error}"),
        );
    }
}

#[cfg(unix)]
fn switch_off() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};

    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(not(unix))]
fn switch_off() -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit};

    #[test]
    fn a_process_that_has_switched_them_off_leaves_no_core_dump() {
        super::switch_off().unwrap();
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        assert_eq!(getrlimit(Resource::Core), none);
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
