//! What the process gives up before it serves: being root, and what no server needs.

use super::options::{Demand, Options};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use tripoll::files::Links;
use tripoll::sandbox::{InForce, Sandbox};
use tripoll::sys::{self, LastLink, User};

/// The sandbox that `options` ask for, not entered yet. Its paths are opened while it is known that they can be: another user may not
/// come to the folder by its path.
pub fn sandbox(options: &Options, directory: &Path) -> Result<Option<Sandbox>, String> {
    // Where links lead is known only when they are followed.
    let readable = match links(options) {
        Links::Beneath => directory,
        Links::Anywhere => Path::new("/"),
    };
    let allowed = || match options.upload {
        true => Sandbox::new().read(readable)?.write(directory),
        false => Sandbox::new().read(readable),
    };
    let wanted = (options.sandbox != Demand::Off).then(allowed);
    wanted.transpose().map_err(|error| format!("cannot be sandboxed: {error}; try --sandbox off"))
}

/// Where links may lead.
pub fn links(options: &Options) -> Links {
    if options.follow_links { Links::Anywhere } else { Links::Beneath }
}

/// Becomes the user that was asked for, who has to be one that may enter `directory`; who stays root without having been asked is told.
pub fn become_user(user: Option<&User>, directory: &Path) -> Result<(), String> {
    let Some(user) = user else {
        if sys::is_root() {
            // A closed stderr is no reason not to serve.
            let told = "tripoll: it runs as root, which it need not: start it as somebody else, or try --user nobody";
            let _ = writeln!(std::io::stderr(), "{told}");
        }
        return Ok(());
    };
    let (name, folder) = (user.name().to_string_lossy(), directory.display());
    // As the server has it: by a descriptor that was opened before, so that what lies above need not be open to the user.
    let opened = sys::open_directory(directory).map_err(|error| format!("cannot open {folder}: {error}"))?;
    sys::become_user(user)
        .map_err(|error| format!("cannot become {name}: {error}; only root can: start it as {name}, without --user"))?;
    sys::state_of(opened.as_fd(), c".", LastLink::Show)
        .map(drop)
        .map_err(|error| format!("{name} may not enter {folder}: {error}; try chmod o+rx {folder}, or another --user"))
}

/// Enters `sandbox`. What is in force, as the start line says it.
pub fn enter(sandbox: Option<Sandbox>, options: &Options) -> Result<String, String> {
    let Some(sandbox) = sandbox else { return Ok("not sandboxed".into()) };
    let in_force = sandbox.enter().map_err(|error| format!("cannot be sandboxed: {error}; try --sandbox off"))?;
    if options.sandbox == Demand::On && !in_force.is_whole() {
        let lack = match in_force {
            InForce { landlock: true, .. } => "no seccomp filters",
            InForce { seccomp: true, .. } => "no Landlock",
            InForce { .. } => "neither Landlock nor seccomp filters",
        };
        return Err(format!(
            "cannot be sandboxed: this kernel has {lack}; try --sandbox auto, which takes what there is"
        ));
    }
    let reads_anything = in_force.landlock && options.follow_links;
    Ok(if reads_anything { format!("{in_force} but for reading") } else { in_force.to_string() })
}
