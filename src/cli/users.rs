//! Users from the flags, the environment and a file, all of which may name some.
//!
//! Invariant: what is said of a wrong one has no password in it.

use super::DEFAULT_DIRECTORY;
use super::options::Options;
use std::fs;
use std::path::Path;
use tripoll::guard::Users;

/// The users that there are, if any were asked for.
pub fn of(options: &Options) -> Result<Option<Users>, String> {
    let mut users = Users::default();
    for user in &options.auth {
        users = users.with(user).map_err(|error| format!("--auth: {error}"))?;
    }
    if let Some(file) = &options.auth_file {
        users = from_file(users, file, options.directory.as_deref().unwrap_or(Path::new(DEFAULT_DIRECTORY)))?;
    }
    match (users.is_empty(), options.auth_all) {
        (false, _) => Ok(Some(users)),
        (true, false) if options.auth_file.is_none() => Ok(None),
        (true, false) => {
            Err("the file of --auth-file names no user, so nobody could write; leave it off for everybody".into())
        }
        (true, true) => Err("--auth-all without a user lets nobody in; try --auth-file".into()),
    }
}

fn from_file(mut users: Users, file: &Path, directory: &Path) -> Result<Users, String> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read users from {name}: {error}"))?;
    // What can't be resolved is not served either.
    let is_served = matches!((file.canonicalize(), directory.canonicalize()), (Ok(file), Ok(directory)) if file.starts_with(&directory));
    if is_served {
        return Err(format!("{name} lies in the folder that is served; move it out of {}", directory.display()));
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    for (number, line) in lines {
        users = users.with(line).map_err(|error| format!("{name}, line {}: {error}", number + 1))?;
    }
    Ok(users)
}
