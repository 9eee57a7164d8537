//! The page: three files, from nowhere else.

use tripoll::http::Response;
use tripoll::{HttpServer, Request};

/// What the browser is to believe of the page: nothing inline, nothing from elsewhere, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Path, media type, content.
const FILES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("page.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page.js")),
    ("/icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// Adds the routes of the page.
pub fn serve(server: HttpServer) -> HttpServer {
    FILES.into_iter().fold(server, |server, (path, media_type, content)| {
        server.route("GET", path, move |_: &Request<'_>| {
            Response::bytes(media_type, content)
                .field("Content-Security-Policy", POLICY)
                .field("Referrer-Policy", "no-referrer")
                .field("Cache-Control", "no-cache")
                .with_tag_of_content()
        })
    })
}
