//! What a person does: clicks, types, drags.

use crate::browser::{Browser, LOOK, PATIENCE};
use fantoccini::{
    Locator,
    actions::{
        InputSource as _, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction,
    },
    elements::Element,
    error::CmdError,
    key::Key,
};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long a pointer takes from one end of a drag to the other.
const DRAG: Duration = Duration::from_millis(120);
/// An element that moves has another place after this time.
const MOVING: Duration = Duration::from_millis(50);
/// More elements than a page of a test has for the tab key.
const STOPS: usize = 300;

impl Browser {
    /// Clicks an element, as soon as it can be clicked.
    ///
    /// # Panics
    /// If it can't be in time.
    pub async fn click(&self, element: &str) {
        self.repeat(&format!("a click on {element}"), async || {
            self.find(element).await?.click().await
        })
        .await;
    }

    /// Replaces the text of a field.
    ///
    /// # Panics
    /// If there is no such field in time.
    pub async fn fill(&self, field: &str, text: &str) {
        self.repeat(&format!("text in {field}"), async || {
            let found = self.find(field).await?;
            found.clear().await?;
            found.send_keys(text).await
        })
        .await;
    }

    /// Selects the option of a list that has this value.
    ///
    /// # Panics
    /// If there is no such option in time.
    pub async fn choose(&self, list: &str, value: &str) {
        self.repeat(&format!("option {value} of {list}"), async || {
            self.find(list).await?.select_by_value(value).await
        })
        .await;
    }

    /// Names a file of this machine in a field for files.
    ///
    /// # Panics
    /// If there is no such field in time.
    pub async fn choose_file(&self, field: &str, file: &std::path::Path) {
        let file = file.to_string_lossy();
        self.repeat(&format!("a file in {field}"), async || {
            self.find(field).await?.send_keys(&file).await
        })
        .await;
    }

    /// Presses keys one after the other, wherever the focus is. A [`Key`] is a text
    /// with one character.
    ///
    /// # Panics
    /// If the browser refuses.
    pub async fn press(&self, keys: &str) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for value in keys.chars() {
            actions = actions
                .then(KeyAction::Down { value })
                .then(KeyAction::Up { value });
        }
        self.done("keys", self.client.perform_actions(actions))
            .await;
    }

    /// Presses the tab key until an element has the focus.
    ///
    /// # Panics
    /// If it never gets it: it can't be reached by keyboard.
    pub async fn tab_to(&self, element: &str) {
        let has_focus = format!(
            "!!document.activeElement && document.activeElement.matches({})",
            json!(element)
        );
        for _ in 0..STOPS {
            if self.value(&has_focus).await == json!(true) {
                return;
            }
            self.press(&Key::Tab).await;
        }
        self.fail(&format!("the tab key doesn't lead to {element}"))
            .await;
    }

    /// Drags from one element to another, and drops there.
    ///
    /// # Panics
    /// If the elements aren't there in time.
    pub async fn drag(&self, from: &str, to: &str) {
        self.hold(from, to).await;
        self.let_go().await;
    }

    /// Drags from one element to another, and stays there. The button is kept down.
    ///
    /// # Panics
    /// If the elements aren't there in time.
    pub async fn hold(&self, from: &str, to: &str) {
        self.repeat(&format!("a drag from {from} to {to}"), async || {
            let (from, to) = (self.find(from).await?, self.find(to).await?);
            rests(&from).await?;
            let actions = mouse()
                .then(onto(from, Duration::ZERO))
                .then(PointerAction::Down {
                    button: MOUSE_BUTTON_LEFT,
                })
                .then(onto(to, DRAG));
            self.client.perform_actions(actions).await
        })
        .await;
    }

    /// Releases the button of the mouse.
    ///
    /// # Panics
    /// If the browser refuses.
    pub async fn let_go(&self) {
        let actions = mouse().then(PointerAction::Up {
            button: MOUSE_BUTTON_LEFT,
        });
        self.done("a drop", self.client.perform_actions(actions))
            .await;
    }

    /// Drops a file with this text on the page.
    ///
    /// # Panics
    /// If the page throws something.
    pub async fn drop_file(&self, name: &str, text: &str) {
        // The browser takes real files only from a window of the system.
        let script = "const files = new DataTransfer();
            files.items.add(new File([arguments[1]], arguments[0]));
            for (const type of ['dragenter', 'dragover', 'drop']) {
                const init = { dataTransfer: files, bubbles: true, cancelable: true };
                document.body.dispatchEvent(new DragEvent(type, init));
            }";
        let arguments = vec![json!(name), json!(text)];
        self.done("a dropped file", self.client.execute(script, arguments))
            .await;
    }

    async fn find(&self, element: &str) -> Result<Element, CmdError> {
        self.client.find(Locator::Css(element)).await
    }

    /// Repeats an attempt that fails because the page isn't ready for it, or has changed meanwhile.
    async fn repeat(&self, what: &str, mut attempt: impl AsyncFnMut() -> Result<(), CmdError>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let failed = match timeout(PATIENCE, attempt()).await {
                Ok(Ok(())) => return,
                Ok(Err(failed)) => failed.to_string(),
                Err(late) => late.to_string(),
            };
            if Instant::now() > deadline {
                self.fail(&format!("not in time: {what}: {failed}")).await;
            }
            sleep(LOOK).await;
        }
    }
}

/// Waits until an element stays where it is: a pointer would miss one that moves.
async fn rests(element: &Element) -> Result<(), CmdError> {
    let mut place = element.rectangle().await?;
    loop {
        sleep(MOVING).await;
        let now = element.rectangle().await?;
        if now == place {
            return Ok(());
        }
        place = now;
    }
}

fn mouse() -> MouseActions {
    MouseActions::new("mouse".to_owned())
}

/// Moves the pointer onto the middle of an element.
fn onto(element: Element, duration: Duration) -> PointerAction {
    PointerAction::MoveToElement {
        element,
        duration: Some(duration),
        x: 0.0,
        y: 0.0,
    }
}
