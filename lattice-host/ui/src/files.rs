//! The files of the page, which are part of the program.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// A file of the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    /// Its path in the folder `page`, which is also its path on the server.
    path: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($path:literal)+) => {
        /// Every file of the folder `page`, apart from its tests. A test compares them.
        const FILES: &[File] = &[$(File {
            path: $path,
            bytes: include_bytes!(concat!("../page/", $path)),
        }),+];
    };
}

files! {
    "canvas.css"
    "icon.svg"
    "index.html"
    "js/http.js"
    "js/layout-worker.js"
    "js/main.js"
    "js/model/drawing.js"
    "js/model/edition.js"
    "js/model/fit.js"
    "js/model/format.js"
    "js/model/forms.js"
    "js/model/geometry.js"
    "js/model/graph.js"
    "js/model/health.js"
    "js/model/interface-name.js"
    "js/model/layout.js"
    "js/model/schema.js"
    "js/model/search.js"
    "js/model/state.js"
    "js/painter.js"
    "js/reread.js"
    "js/stream.js"
    "js/view/apply-dialog.js"
    "js/view/banners.js"
    "js/view/config-form.js"
    "js/view/dialog.js"
    "js/view/dom.js"
    "js/view/icons.js"
    "js/view/infrastructure.js"
    "js/view/keys.js"
    "js/view/layouter.js"
    "js/view/lines.js"
    "js/view/link-dialog.js"
    "js/view/linking.js"
    "js/view/logical.js"
    "js/view/nodes.js"
    "js/view/notices.js"
    "js/view/panel/addresses.js"
    "js/view/panel/call.js"
    "js/view/panel/explain.js"
    "js/view/panel/failed.js"
    "js/view/panel/interfaces.js"
    "js/view/panel/logs.js"
    "js/view/panel/manifest.js"
    "js/view/panel/overview.js"
    "js/view/panel/panel.js"
    "js/view/panel/value-field.js"
    "js/view/picture.js"
    "js/view/scene.js"
    "js/view/search-box.js"
    "js/view/viewport.js"
    "js/view/views.js"
    "js/view/wormhole-dialog.js"
    "panel.css"
    "style.css"
    "vendor/README.txt"
    "vendor/dagre.LICENSE.txt"
    "vendor/dagre.esm.js"
}

/// What browsers are told about files, by the ends of their names.
const KINDS: &[(&str, &str)] = &[
    (".html", "text/html; charset=utf-8"),
    (".css", "text/css; charset=utf-8"),
    (".js", "text/javascript; charset=utf-8"),
    (".mjs", "text/javascript; charset=utf-8"),
    (".svg", "image/svg+xml"),
    (".json", "application/json"),
    (".txt", "text/plain; charset=utf-8"),
];

impl File {
    /// Returns the file at a path of the server, such as `/js/main.js`. `/` is the page itself.
    pub(crate) fn at(path: &str) -> Option<&'static Self> {
        let path = path.strip_prefix('/')?;
        let path = if path.is_empty() { "index.html" } else { path };
        FILES.iter().find(|file| file.path == path)
    }

    /// Returns the response to a request for it. A browser that has it already isn't sent it again.
    pub(crate) fn respond(&self, request: &HeaderMap) -> Response {
        let tag = self.tag();
        let known = request.get_all(header::IF_NONE_MATCH).iter();
        let is_known = known
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|known| known.trim().trim_start_matches("W/") == tag);
        let mut headers = HeaderMap::new();
        // The tag has only hexadecimal digits and quotes.
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if is_known {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let kind = HeaderValue::from_static(self.kind());
        headers.insert(header::CONTENT_TYPE, kind);
        (headers, self.bytes).into_response()
    }

    fn tag(&self) -> String {
        format!("\"{}\"", &blake3::hash(self.bytes).to_hex()[..32])
    }

    fn kind(&self) -> &'static str {
        let kind = KINDS.iter().find(|(end, _)| self.path.ends_with(end));
        kind.map_or("application/octet-stream", |(_, kind)| kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    /// Folders that are no part of what is served.
    const ASIDE: &[&str] = &["test"];

    fn walk(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("the folder of the page") {
            let path = entry.expect("an entry").path();
            let name = path
                .strip_prefix(root)
                .expect("below")
                .to_string_lossy()
                .replace('\\', "/");
            if path.is_file() {
                found.insert(name);
            } else if !ASIDE.contains(&name.as_str()) {
                walk(&path, root, found);
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served_and_no_other() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let mut found = BTreeSet::new();
        walk(&root, &root, &mut found);
        let listed: BTreeSet<String> = FILES.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(
            listed, found,
            "the table in src/files.rs and the folder `page` differ"
        );
        assert_eq!(listed.len(), FILES.len(), "a file is listed twice");
    }

    #[test]
    fn every_file_has_a_kind() {
        for file in FILES {
            assert_ne!(file.kind(), "application/octet-stream", "{}", file.path);
        }
    }

    #[test]
    fn a_file_that_a_browser_has_is_not_sent_again() {
        let file = File::at("/").expect("the page");
        let first = file.respond(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].clone();
        let ask = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, value.parse().expect("a value"));
            file.respond(&headers).status()
        };
        let tag = tag.to_str().expect("text");
        assert_eq!(ask(tag), StatusCode::NOT_MODIFIED);
        assert_eq!(
            ask(&format!("\"other\", W/{tag}")),
            StatusCode::NOT_MODIFIED
        );
        assert_eq!(ask("\"other\""), StatusCode::OK);
        for path in ["", "/../Cargo.toml", "/js", "/index.html/", "//index.html"] {
            assert!(File::at(path).is_none(), "{path}");
        }
    }

    /// The policy of the page allows neither.
    #[test]
    fn the_page_has_no_inline_scripts_and_styles() {
        for file in FILES
            .iter()
            .filter(|file| file.kind().starts_with("text/html"))
        {
            let text = std::str::from_utf8(file.bytes).expect("UTF-8");
            assert!(
                !text.contains("<style")
                    && !text.contains(" style=")
                    && !text.contains(" onclick="),
                "{}",
                file.path
            );
            for script in text.match_indices("<script").map(|(at, _)| &text[at..]) {
                let head = &script[..script.find('>').expect("an end")];
                assert!(head.contains(" src="), "{}: {head}", file.path);
            }
        }
    }
}
