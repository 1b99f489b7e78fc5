//! Whether people can read the page.

use crate::browser::Browser;

/// Functions of colours: their amounts of red, green, blue and opacity, how bright they are, and
/// what is behind an element. That is unknown behind what lets something through.
const COLOURS: &str = "\
    const paper = document.createElement('canvas').getContext('2d', { willReadFrequently: true });\
    const known = new Map();\
    const amounts = (colour) => {\
        if (!known.has(colour)) {\
            paper.clearRect(0, 0, 1, 1);\
            paper.fillStyle = colour;\
            paper.fillRect(0, 0, 1, 1);\
            known.set(colour, Array.from(paper.getImageData(0, 0, 1, 1).data));\
        }\
        return known.get(colour);\
    };\
    const linear = (value) => value <= 10.31 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4;\
    const brightness = ([red, green, blue]) =>\
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);\
    const behind = (element) => {\
        for (let it = element; it; it = it.parentElement) {\
            const style = getComputedStyle(it);\
            const colour = amounts(style.backgroundColor);\
            if (colour[3] === 255 && style.backgroundImage === 'none') return colour;\
            if (colour[3] > 0 || style.backgroundImage !== 'none') return null;\
        }\
        return [255, 255, 255, 255];\
    };";
/// Texts with less contrast than WCAG 2 asks for (level AA). What is disabled doesn't count.
const FAINT: &str = "\
    const faint = [];\
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);\
    while (texts.nextNode()) {\
        const text = texts.currentNode.data.trim();\
        const element = texts.currentNode.parentElement;\
        if (!text || !(element instanceof HTMLElement) || element.closest(':disabled, option')) continue;\
        const seen = { visibilityProperty: true, opacityProperty: true };\
        if (!element.checkVisibility(seen) || element.getClientRects().length === 0) continue;\
        const style = getComputedStyle(element);\
        const [front, back] = [amounts(style.color), behind(element)];\
        if (!back || front[3] < 255) continue;\
        const [less, more] = [brightness(front), brightness(back)].sort((a, b) => a - b);\
        const contrast = (more + 0.05) / (less + 0.05);\
        const size = parseFloat(style.fontSize);\
        const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);\
        if (contrast < (isLarge ? 2.99 : 4.49)) {\
            faint.push(`contrast ${contrast.toFixed(2)} of ${JSON.stringify(text.slice(0, 60))}`);\
        }\
    }\
    return faint;";

impl Browser {
    /// Returns how bright the page's background is, from 0 for black to 1 for white.
    ///
    /// # Panics
    /// If the browser refuses.
    pub async fn brightness(&self) -> f64 {
        let script = format!(
            "(() => {{ {COLOURS} return brightness(behind(document.body) ?? behind(document.documentElement) ?? [0, 0, 0]); }})()"
        );
        self.value(&script).await.as_f64().unwrap_or_default()
    }

    /// Checks that each text has enough contrast.
    ///
    /// # Panics
    /// If one hasn't.
    pub async fn is_legible(&self) {
        let faint = self.faint().await;
        if !faint.is_empty() {
            self.fail(&faint.join("\n")).await;
        }
    }

    async fn faint(&self) -> Vec<String> {
        let faint = self
            .value(&format!("(() => {{ {COLOURS} {FAINT} }})()"))
            .await;
        let faint = faint.as_array().into_iter().flatten();
        faint
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::browser;

    const PAGE: &str = "data:text/html,<body style='background:black'>\
        <p style='color:white'>good</p><p style='color:rgb(60,60,60)'>bad</p>\
        <p style='color:rgb(60,60,60);background:white'>good</p>\
        <p style='color:rgb(60,60,60)' hidden>hidden</p>\
        <p style='color:rgb(100,100,100);font-size:30px'>large</p>\
        <button disabled style='color:gray;background:gray'>disabled</button></body>";

    #[tokio::test]
    async fn faint_texts_are_found() {
        let Some(browser) = browser().await else {
            return;
        };
        browser.open(PAGE).await;
        let faint = browser.faint().await;
        assert!(
            faint.len() == 1 && faint[0].ends_with("of \"bad\""),
            "{faint:?}"
        );
        assert!(browser.brightness().await < 0.01);
        browser.open("data:text/html,text").await;
        assert!(browser.brightness().await > 0.99);
    }
}
