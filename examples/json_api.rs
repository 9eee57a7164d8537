//! Notes, kept in memory and served as JSON: shared state, parameters, bodies, and errors that say what was wrong.
//!
//! ```sh
//! cargo run --example json_api
//! curl -d '{"text": "buy milk"}' http://127.0.0.1:8000/notes
//! curl http://127.0.0.1:8000/notes/1
//! curl -X DELETE http://127.0.0.1:8000/notes/1
//! ```

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tripoll::http::StatusCode;
use tripoll::{HttpServer, Request, Response};

/// Notes past this are refused: memory is not for whoever asks.
const NOTES_MAX: usize = 1000;

fn main() -> Result<(), String> {
    let bound = server("127.0.0.1:8000").bind().map_err(|error| error.to_string())?;
    println!("http://{}/notes", bound.addresses()[0]);
    bound.run().map_err(|error| error.to_string())
}

#[derive(Default)]
struct Notes {
    last_id: u64,
    by_id: BTreeMap<u64, Value>,
}

fn server(address: &str) -> HttpServer {
    let shared = Arc::new(Mutex::new(Notes::default()));
    let [list, add, show, delete] = std::array::from_fn(|_| shared.clone());
    HttpServer::without_files(address)
        .route("GET", "/notes", move |_| Response::json(&lock(&list).by_id.values().collect::<Vec<_>>()))
        .route("POST", "/notes", move |request| add_note(&mut lock(&add), request))
        .route("GET", "/notes/{id}", move |request| {
            let id = id(request)?;
            lock(&show).by_id.get(&id).map(Response::json).ok_or_else(no_such_note)
        })
        .route("DELETE", "/notes/{id}", move |request| {
            let id = id(request)?;
            let removed = lock(&delete).by_id.remove(&id);
            removed.map(|_| Response::new(StatusCode::NO_CONTENT)).ok_or_else(no_such_note)
        })
        .not_found(|_| error(StatusCode::NOT_FOUND, "there is only /notes"))
}

fn add_note(notes: &mut Notes, request: &Request<'_>) -> Result<Response, Response> {
    let note: Value = serde_json::from_slice(request.body())
        .map_err(|reason| error(StatusCode::BAD_REQUEST, &format!("the body is no JSON: {reason}")))?;
    let text = note["text"].as_str().ok_or_else(|| error(StatusCode::BAD_REQUEST, "a note has a \"text\""))?;
    if notes.by_id.len() >= NOTES_MAX {
        return Err(error(StatusCode::INSUFFICIENT_STORAGE, "there are too many notes; delete some"));
    }
    notes.last_id += 1;
    let id = notes.last_id;
    let note = json!({ "id": id, "text": text });
    let response = Response::json(&note).with_status(StatusCode::CREATED).field("Location", &format!("/notes/{id}"));
    notes.by_id.insert(id, note);
    Ok(response)
}

fn id(request: &Request<'_>) -> Result<u64, Response> {
    request.param("id").parse().map_err(|_| error(StatusCode::BAD_REQUEST, "an id is a number"))
}

fn no_such_note() -> Response {
    error(StatusCode::NOT_FOUND, "there is no such note")
}

fn error(status: StatusCode, reason: &str) -> Response {
    Response::json(&json!({ "error": reason })).with_status(status)
}

/// A handler that panicked leaves the notes as they were between two of its statements, which is good enough for notes.
fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_added_shown_and_deleted() {
        let ask = |method: &str, target: &str, body: &str| {
            let length = body.len();
            format!("{method} {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")
        };
        let said = |answers: &str, parts: &[&str]| {
            let mut rest = answers;
            for part in parts {
                let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not in what is left: {rest}"));
                rest = &rest[at + part.len()..];
            }
        };
        // All of it on one connection: nothing is shared between two calls of `answer` but the notes themselves.
        let input = [
            ask("GET", "/notes", ""),
            ask("POST", "/notes", "{\"text\": \"milk\"}"),
            ask("POST", "/notes", "{"),
            ask("POST", "/notes", "{}"),
            ask("GET", "/notes/1", ""),
            ask("GET", "/notes/x", ""),
            ask("DELETE", "/notes/1", ""),
            ask("GET", "/notes/1", ""),
            ask("GET", "/", ""),
        ]
        .concat();
        let answers = server("127.0.0.1:0").answer(input.as_bytes()).unwrap();
        said(
            std::str::from_utf8(&answers).unwrap(),
            &[
                "200 OK",
                "\r\n\r\n[]",
                "201 Created",
                "Location: /notes/1\r\n",
                "{\"id\":1,\"text\":\"milk\"}",
                "400 Bad Request",
                "the body is no JSON",
                "400 Bad Request",
                "a note has a",
                "200 OK",
                "{\"id\":1,\"text\":\"milk\"}",
                "400 Bad Request",
                "an id is a number",
                "204 No Content",
                "404 Not Found",
                "no such note",
                "404 Not Found",
                "only /notes",
            ],
        );
    }
}
