//! What changes names and no contents: DELETE, MKCOL, MOVE.

use super::{Guard, Writer, allowed, check_kind, check_preconditions, is_missing, made_or_replaced, offload, reject};
use crate::files::Overwrite;
use crate::files::path::{Resolved, resolve};
use crate::files::root::Place;
use crate::http::{Answer, Reject, Request, Response, StatusCode};
use crate::sys::{FileState, Replace};
use std::io;
use std::sync::Arc;

impl Writer {
    /// RFC 9110 §9.3.5. A folder goes when it is empty: more than a client can see may be in it.
    pub(super) fn delete(self: &Arc<Self>, request: &Request<'_>) -> Result<Answer, Reject> {
        let (at, place, guard) = self.existing(request)?;
        let writer = self.clone();
        Ok(offload(move || {
            let changing = writer.begin_change();
            let found = place.state().map_err(|error| reject(&error))?.ok_or(Reject::NotFound)?;
            guard.check(Some(&found))?;
            let removed = if found.is_directory() { place.remove_folder() } else { place.remove_file() };
            removed.map_err(|error| reject(&error))?;
            writer.note_gone(Some(&found));
            writer.cache.forget_changed(&at);
            drop(changing);
            place.sync_folder().map_err(|error| reject(&error))?;
            Ok(Response::new(StatusCode::NO_CONTENT))
        }))
    }

    /// RFC 4918 §9.3
    pub(super) fn make_folder(self: &Arc<Self>, request: &Request<'_>) -> Result<Answer, Reject> {
        let at = self.new_name(request.path())?;
        let allow = allowed(request.path());
        let is_there = move || Reject::MethodNotAllowed { allow: allow.into() };
        if at.split().is_none() {
            return Err(is_there());
        }
        let place = self.place(&at)?;
        let found = place.state().map_err(|error| reject(&error))?;
        check_preconditions(request, found.as_ref())?;
        Ok(offload(move || {
            place.create_folder().map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => is_there(),
                _ => reject(&error),
            })?;
            place.sync_folder().map_err(|error| reject(&error))?;
            Ok(Response::new(StatusCode::CREATED))
        }))
    }

    /// RFC 4918 §9.9
    pub(super) fn move_to(self: &Arc<Self>, request: &Request<'_>) -> Result<Answer, Reject> {
        let (from, place, guard) = self.existing(request)?;
        let to = self.new_name(destination(request)?)?;
        if to.path == from.path {
            return Err(Reject::Forbidden("it is there already"));
        }
        let target = self.place(&to)?;
        let overwrite = overwrite(request)?;
        let writer = self.clone();
        Ok(offload(move || {
            let changing = writer.begin_change();
            let source = place.state().map_err(|error| reject(&error))?.ok_or(Reject::NotFound)?;
            guard.check(Some(&source))?;
            if to.is_directory && !source.is_directory() {
                return Err(Reject::Conflict("a file's name has no slash at its end"));
            }
            let found = target.state().map_err(|error| reject(&error))?;
            let replace = match &found {
                None => Replace::Never,
                Some(found) => writer.may_move_over(found, overwrite).map(|()| Replace::Always)?,
            };
            place.rename(&target, replace).map_err(|error| reject(&error))?;
            writer.note_gone(found.as_ref());
            writer.cache.forget_changed(&from);
            writer.cache.forget_changed(&to);
            drop(changing);
            place.sync_folder().and_then(|()| target.sync_folder()).map_err(|error| reject(&error))?;
            Ok(Response::new(made_or_replaced(found.is_some())))
        }))
    }

    /// RFC 4918 §10.6: without a word Overwrite is T. That is too little where a replacement is to be meant.
    fn may_move_over(&self, found: &FileState, overwrite: Option<bool>) -> Result<(), Reject> {
        if overwrite == Some(false) {
            return Err(Reject::PreconditionFailed);
        }
        check_kind(found)?;
        match self.uploads.overwrite {
            Overwrite::Never => Err(Reject::Forbidden("what is there is not replaced")),
            Overwrite::IfMatch if overwrite.is_none() => {
                Err(Reject::PreconditionRequired("the destination is there: Overwrite says whether it is replaced"))
            }
            Overwrite::IfMatch | Overwrite::Always => Ok(()),
        }
    }

    /// What is there to be removed or moved, its place, and what has to be there still then.
    fn existing(&self, request: &Request<'_>) -> Result<(Resolved, Place, Guard), Reject> {
        let at = resolve(request.path(), self.dot_names)?;
        let (folder, name) = at.split().ok_or(Reject::Forbidden("the folder that is served stays"))?;
        let missing = |error: io::Error| if is_missing(&error) { Reject::NotFound } else { reject(&error) };
        let place = self.root.place(&folder, name).map_err(missing)?;
        let found = place.state().map_err(missing)?;
        let is_conditional = check_preconditions(request, found.as_ref())?;
        let found = found.ok_or(Reject::NotFound)?;
        check_kind(&found)?;
        if at.is_directory && !found.is_directory() {
            return Err(Reject::NotFound);
        }
        Ok((at, place, if is_conditional { Guard::Same(found) } else { Guard::Anything }))
    }
}

/// RFC 4918 §10.3, §8.3: the path of a URL of this server, or a path alone.
fn destination<'a>(request: &Request<'a>) -> Result<&'a str, Reject> {
    let malformed = Reject::BadRequest("Destination is a path, or a URL of this server");
    let fields = request.fields();
    let mut values = fields.all("destination");
    let (Some(value), None) = (values.next(), values.next()) else { return Err(malformed) };
    let Ok(value) = std::str::from_utf8(value) else { return Err(malformed) };
    let path = match value.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if !authority.eq_ignore_ascii_case(request.host()) {
                return Err(Reject::OtherServer);
            }
            path
        }
        _ => value,
    };
    if !path.starts_with('/') || path.contains(['?', '#']) {
        return Err(malformed);
    }
    Ok(path)
}

/// RFC 4918 §10.6
fn overwrite(request: &Request<'_>) -> Result<Option<bool>, Reject> {
    match request.fields().get("overwrite") {
        None => Ok(None),
        Some(b"T" | b"t") => Ok(Some(true)),
        Some(b"F" | b"f") => Ok(Some(false)),
        Some(_) => Err(Reject::BadRequest("Overwrite is T or F")),
    }
}
