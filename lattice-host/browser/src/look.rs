//! What a person sees: elements, their texts, and the state of the page.

use crate::browser::Browser;
use serde_json::json;

impl Browser {
    /// Waits until an element is there and can be seen.
    ///
    /// # Panics
    /// If it isn't in time.
    pub async fn sees(&self, element: &str) {
        self.until(&format!("{element} is seen"), &is_seen(element))
            .await;
    }

    /// Waits until an element isn't there or can't be seen.
    ///
    /// # Panics
    /// If it still is after a while.
    pub async fn misses(&self, element: &str) {
        let gone = format!("!({})", is_seen(element));
        self.until(&format!("{element} is gone"), &gone).await;
    }

    /// Waits until the text of an element contains this one, in its accessible name or as it is
    /// shown. An empty text waits for the element.
    ///
    /// # Panics
    /// If it doesn't in time.
    pub async fn reads(&self, element: &str, text: &str) {
        let shown = format!(
            "((it) => it && [it.textContent, it.value ?? '', it.title ?? '', it.getAttribute('aria-label') ?? '']\
             .some((text) => String(text).includes({})))({})",
            json!(text),
            first(element)
        );
        self.until(&format!("{element} says {text:?}"), &shown)
            .await;
    }

    /// Waits until an attribute of an element has this value.
    ///
    /// # Panics
    /// If it hasn't in time.
    pub async fn has(&self, element: &str, attribute: &str, value: &str) {
        let is = format!(
            "{}?.getAttribute({}) === {}",
            first(element),
            json!(attribute),
            json!(value)
        );
        let what = format!("{attribute} of {element} is {value:?}");
        self.until(&what, &is).await;
    }

    /// Waits until a field has this value.
    ///
    /// # Panics
    /// If it hasn't in time.
    pub async fn holds(&self, field: &str, value: &str) {
        let is = format!("{}?.value === {}", first(field), json!(value));
        self.until(&format!("{field} has {value:?}"), &is).await;
    }

    /// Returns how many elements there are.
    ///
    /// # Panics
    /// If the browser refuses.
    pub async fn count(&self, elements: &str) -> u64 {
        let count = format!("document.querySelectorAll({}).length", json!(elements));
        self.value(&count).await.as_u64().unwrap_or_default()
    }

    /// Waits until the page of a lattice follows it, and everything is laid out.
    ///
    /// # Panics
    /// If it doesn't in time.
    pub async fn is_live(&self) {
        self.has("html", "data-connection", "live").await;
        // It is live before the first event.
        let painted = "document.documentElement.dataset.painted !== undefined";
        self.until("the first event is painted", painted).await;
        self.has("html", "data-layout", "done").await;
    }
}

/// Returns the expression of the first element of a selector.
fn first(element: &str) -> String {
    format!("document.querySelector({})", json!(element))
}

fn is_seen(element: &str) -> String {
    format!(
        "Array.from(document.querySelectorAll({})).some((it) => it.checkVisibility({{ visibilityProperty: true }}) && it.getClientRects().length > 0)",
        json!(element)
    )
}
