//! What holds for the whole page at any time.

use crate::{browser::Browser, command::Vendor};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Elements that people operate.
const CONTROLS: [&str; 5] = ["BUTTON", "INPUT", "SELECT", "TEXTAREA", "SUMMARY"];
/// Attributes of further elements that they operate.
const MARKS: [&str; 3] = ["data-outlet", "data-inlet", "data-link"];
/// Roles of elements that have to say what they are.
const NAMED: [&str; 19] = [
    "button",
    "checkbox",
    "combobox",
    "complementary",
    "dialog",
    "link",
    "listbox",
    "log",
    "menuitem",
    "radio",
    "region",
    "searchbox",
    "slider",
    "spinbutton",
    "switch",
    "tab",
    "tablist",
    "tabpanel",
    "textbox",
];
/// Levels of log messages that shouldn't be there.
const BAD: [&str; 2] = ["SEVERE", "WARNING"];

impl Browser {
    /// Checks that the page has logged no errors and no warnings, has requested nothing of another
    /// server, has a language and a title, that ids are unique, and that each control has an
    /// accessible name.
    ///
    /// # Panics
    /// If one of these isn't so.
    pub async fn is_sound(&self) {
        self.has_logged_only(&[]).await;
        self.is_sound_but_for_its_log().await;
    }

    /// The same, apart from what the page has logged.
    ///
    /// # Panics
    /// If it isn't so.
    pub async fn is_sound_but_for_its_log(&self) {
        let mut faults = self.elsewhere().await;
        faults.extend(self.malformed().await);
        faults.extend(self.nameless().await);
        if !faults.is_empty() {
            self.fail(&faults.join("\n")).await;
        }
    }

    /// Checks that each error and each warning that the page has logged since the last check
    /// contains one of these texts.
    ///
    /// # Panics
    /// If another one was logged.
    pub async fn has_logged_only(&self, expected: &[&str]) {
        let log = self.done("the log", self.client.issue_cmd(Vendor::log()));
        let log = log.await;
        let unexpected: Vec<&str> = log
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| BAD.contains(&text(entry, "level")))
            .map(|entry| text(entry, "message"))
            .filter(|message| !expected.iter().any(|known| message.contains(known)))
            .collect();
        if !unexpected.is_empty() {
            self.fail(&format!("the page has logged {unexpected:#?}"))
                .await;
        }
    }

    /// Returns what the page has requested of another server.
    async fn elsewhere(&self) -> Vec<String> {
        let expression = "performance.getEntriesByType('resource').map((it) => it.name)\
            .filter((it) => new URL(it).origin !== location.origin && !it.startsWith('data:'))";
        let requested = self.value(expression).await;
        let requested = requested.as_array().into_iter().flatten();
        requested
            .filter_map(|address| address.as_str())
            .map(|address| format!("it requests {address}"))
            .collect()
    }

    /// Returns what the document lacks.
    async fn malformed(&self) -> Vec<String> {
        let expression = "((ids) => [\
            ...(document.documentElement.lang ? [] : ['it has no language']),\
            ...(document.title ? [] : ['it has no title']),\
            ...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `the id ${id} is not unique`),\
            ...Array.from(document.querySelectorAll('[tabindex]')).filter((it) => it.tabIndex > 0)\
                .map((it) => `an order of its own: ${it.outerHTML.slice(0, 200)}`)\
            ])(Array.from(document.querySelectorAll('[id]'), (it) => it.id))";
        let faults = self.value(expression).await;
        let faults = faults.as_array().into_iter().flatten();
        faults
            .filter_map(|fault| fault.as_str().map(str::to_owned))
            .collect()
    }

    /// Returns the controls without a name or a role, as the browser tells them to a screen reader.
    /// Controls that are hidden from it don't count.
    async fn nameless(&self) -> Vec<String> {
        let tree = self
            .devtools("Accessibility.getFullAXTree", json!({}))
            .await;
        let nodes = tree["nodes"].as_array().into_iter().flatten();
        let told: HashMap<u64, (&str, &str)> = nodes
            .filter(|node| node["ignored"] != true)
            .filter_map(|node| {
                let said = (text(&node["role"], "value"), text(&node["name"], "value"));
                Some((node["backendDOMNodeId"].as_u64()?, said))
            })
            .collect();
        let document = self
            .devtools("DOM.getDocument", json!({ "depth": -1 }))
            .await;
        let mut faults = Vec::new();
        walk(&document["root"], &mut |element: &Value| {
            let id = element["backendNodeId"].as_u64().unwrap_or_default();
            let Some((role, name)) = told.get(&id) else {
                return;
            };
            let has_name = !name.trim().is_empty();
            if NAMED.contains(role) && !has_name {
                faults.push(format!("a {role} without a name: {}", described(element)));
            } else if is_control(element) && (!has_name || ["generic", "none"].contains(role)) {
                faults.push(format!("it isn't accessible: {}", described(element)));
            }
        });
        faults
    }
}

/// Passes each element below a node of the document to `visit`.
fn walk(node: &Value, visit: &mut impl FnMut(&Value)) {
    for child in node["children"].as_array().into_iter().flatten() {
        visit(child);
        walk(child, visit);
    }
}

fn is_control(element: &Value) -> bool {
    let attributes = attributes(element);
    CONTROLS.contains(&text(element, "nodeName"))
        || MARKS.iter().any(|mark| attributes.contains_key(mark))
}

/// Returns the attributes of an element by name. The protocol has them in turns with their values.
fn attributes(element: &Value) -> HashMap<&str, &str> {
    let all = element["attributes"].as_array();
    let all: Vec<&str> = all
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    all.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

fn described(element: &Value) -> String {
    let mut attributes: Vec<(&str, &str)> = attributes(element).into_iter().collect();
    attributes.sort_unstable();
    format!("{} {attributes:?}", text(element, "nodeName"))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::browser;

    const GOOD: &str = "data:text/html,<html lang=en><title>good</title>\
        <button id=a>a</button><label>b <input id=b></label><button hidden></button>\
        <div data-outlet=x role=button tabindex=0>x</div>";
    const BAD: &str = "data:text/html,<button id=a></button><p id=a>text</p>\
        <div data-outlet=x tabindex=2 title=></div>\
        <img alt=an-image src=http://127.0.0.1:40404/x>\
        <script>console.error('broken')</script>";

    #[tokio::test]
    async fn faults_of_a_page_are_found() {
        let Some(browser) = browser().await else {
            return;
        };
        browser.open(GOOD).await;
        browser.is_sound().await;
        browser.open(BAD).await;
        let nameless = browser.nameless().await.join("\n");
        assert!(
            nameless.contains("a button without a name: BUTTON"),
            "{nameless}"
        );
        assert!(nameless.contains("isn't accessible: DIV"), "{nameless}");
        let malformed = browser.malformed().await.join("\n");
        for fault in [
            "no language",
            "no title",
            "the id a is not unique",
            "an order of its own",
        ] {
            assert!(malformed.contains(fault), "{fault}: {malformed}");
        }
        let elsewhere = browser.elsewhere().await;
        assert_eq!(elsewhere, ["it requests http://127.0.0.1:40404/x"]);
        browser
            .has_logged_only(&["broken", "net::ERR_", "40404"])
            .await;
    }
}
