//! The manual pages.

use std::path::Path;

use clap::Command;

use crate::answer::print_all;
use crate::args::Man;
use crate::command;
use crate::failure::Failure;

/// Prints a page, or writes all of them.
pub(crate) fn run(args: &Man) -> Result<(), Failure> {
    let program = command::command();
    if let Some(folder) = &args.dir {
        return all(&program, folder);
    }
    let Some(verb) = &args.verb else {
        return print_all(&page(&program, "xtls")?);
    };
    let known = program.find_subcommand(verb).ok_or_else(|| {
        let verbs: Vec<&str> = program.get_subcommands().map(Command::get_name).collect();
        Failure::usage(format!("{verb:?} is no verb of xtls"))
            .hint(format!("the verbs are {}", verbs.join(", ")))
    })?;
    print_all(&page(known, &format!("xtls-{verb}"))?)
}

fn all(program: &Command, folder: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::failed(format!("cannot write {}: {error}", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let mut pages = vec![("xtls".to_owned(), program)];
    pages.extend(
        program
            .get_subcommands()
            .map(|verb| (format!("xtls-{}", verb.get_name()), verb)),
    );
    for (name, command) in pages {
        let path = folder.join(format!("{name}.1"));
        std::fs::write(&path, page(command, &name)?).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> Result<String, Failure> {
    let command = command
        .clone()
        .name(name.to_owned())
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true);
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::failed(format!("cannot make the page: {error}")))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
