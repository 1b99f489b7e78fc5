//! Reads metrics as text, and accepts nothing that the two formats don't allow.

use std::collections::{BTreeMap, BTreeSet};

/// One line with a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// What a text says.
#[derive(Debug, Default)]
pub struct Exposed {
    /// The type of each family, by the name in the comments.
    pub types: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

impl Exposed {
    /// The sum of the samples with this name whose labels include these.
    pub fn total(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &&Sample| {
            let mut labels = labels.iter();
            labels.all(|(name, value)| sample.labels.get(*name).is_some_and(|own| own == value))
        };
        let named = self.samples.iter().filter(|sample| sample.name == name);
        let mut values = named.filter(has).map(|sample| sample.value);
        let first = values.next()?;
        Some(values.fold(first, |sum, value| sum + value))
    }
}

/// Parses the text format of Prometheus, or `OpenMetrics`. Returns the first line that isn't valid,
/// and why.
pub fn parse(text: &str, is_open_metrics: bool) -> Result<Exposed, String> {
    if text.contains('\r') || !text.is_empty() && !text.ends_with('\n') {
        return Err("lines end with a line feed alone".to_owned());
    }
    let mut reader = Reader {
        is_open_metrics,
        ..Reader::default()
    };
    for line in text.lines() {
        let taken = reader.line(line);
        taken.map_err(|reason| format!("`{line}`: {reason}"))?;
    }
    reader
        .end_family()
        .map_err(|reason| format!("at the end: {reason}"))?;
    if is_open_metrics != reader.is_over {
        return Err("`# EOF` ends OpenMetrics, and nothing else".to_owned());
    }
    Ok(reader.exposed)
}

#[derive(Default)]
struct Reader {
    is_open_metrics: bool,
    is_over: bool,
    exposed: Exposed,
    helped: BTreeSet<String>,
    /// The family that samples belong to now: its name, its type, and where its samples begin.
    family: Option<(String, String, usize)>,
    series: BTreeSet<(String, BTreeMap<String, String>)>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if self.is_over {
            return Err("nothing may follow `# EOF`".to_owned());
        }
        if line == "# EOF" {
            self.is_over = true;
            return Ok(());
        }
        match line.strip_prefix("# ") {
            Some(comment) => self.comment(comment),
            None => self.sample(line),
        }
    }

    fn comment(&mut self, comment: &str) -> Result<(), String> {
        let mut parts = comment.splitn(3, ' ');
        let mut next = || parts.next().ok_or("a part is missing");
        let (kind, name, text) = (next()?, next()?, next()?);
        check_name(name)?;
        match kind {
            "HELP" => {
                self.end_family()?;
                unescaped(text)?;
                let is_new = self.helped.insert(name.to_owned());
                is_new.then_some(()).ok_or("a second HELP")?;
            }
            "TYPE" => {
                if !self.helped.contains(name) || self.exposed.types.contains_key(name) {
                    return Err("a TYPE comes once, after its HELP".to_owned());
                }
                if !["counter", "gauge", "histogram"].contains(&text) {
                    return Err("no such type".to_owned());
                }
                let is_named_total = name.ends_with("_total");
                if (text == "counter" && !self.is_open_metrics) != is_named_total {
                    return Err("a counter, and nothing else, is named total".to_owned());
                }
                let types = &mut self.exposed.types;
                types.insert(name.to_owned(), text.to_owned());
                let begins = self.exposed.samples.len();
                self.family = Some((name.to_owned(), text.to_owned(), begins));
            }
            "UNIT" => {
                let is_of_family = self.family.as_ref().is_some_and(|(own, ..)| own == name);
                if !self.is_open_metrics || !is_of_family || !name.ends_with(&format!("_{text}")) {
                    return Err("a UNIT is the end of its family's name".to_owned());
                }
            }
            _ => return Err("no such comment".to_owned()),
        }
        Ok(())
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let (family, kind, _) = self.family.as_ref().ok_or("a sample without a TYPE")?;
        let end = line.find(['{', ' ']).ok_or("no value")?;
        let (name, rest) = line.split_at(end);
        check_name(name)?;
        let suffixes: &[&str] = match (kind.as_str(), self.is_open_metrics) {
            ("histogram", _) => &["_bucket", "_sum", "_count"],
            ("counter", true) => &["_total"],
            _ => &[""],
        };
        if !suffixes
            .iter()
            .any(|suffix| name == format!("{family}{suffix}"))
        {
            return Err("it isn't of the family above it".to_owned());
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (BTreeMap::new(), rest),
        };
        let value = rest.strip_prefix(' ').ok_or("a space is missing")?;
        let value = number(value)?;
        if kind == "counter" && !(value >= 0.0 && value.is_finite()) {
            return Err("a counter is a number from zero".to_owned());
        }
        if labels.contains_key("le") != name.ends_with("_bucket") {
            return Err("a bucket, and nothing else, has a bound".to_owned());
        }
        if !self.series.insert((name.to_owned(), labels.clone())) {
            return Err("the series is there twice".to_owned());
        }
        self.exposed.samples.push(Sample {
            name: name.to_owned(),
            labels,
            value,
        });
        Ok(())
    }

    /// Checks a family as a whole.
    fn end_family(&mut self) -> Result<(), String> {
        let Some((name, kind, begins)) = self.family.take() else {
            return Ok(());
        };
        if kind != "histogram" {
            return Ok(());
        }
        let mut buckets = BTreeMap::<BTreeMap<String, String>, Vec<(f64, f64)>>::new();
        for sample in &self.exposed.samples[begins..] {
            let mut labels = sample.labels.clone();
            if let Some(bound) = labels.remove("le") {
                let of_one = buckets.entry(labels).or_default();
                of_one.push((number(&bound)?, sample.value));
            }
        }
        for (labels, of_one) in buckets {
            let is_rising = of_one.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1);
            let last = of_one.last().copied();
            let count = self.exposed.samples[begins..]
                .iter()
                .find(|sample| sample.name == format!("{name}_count") && sample.labels == labels);
            let is_whole = last.zip(count).is_some_and(|((bound, all), count)| {
                bound == f64::INFINITY && all.to_bits() == count.value.to_bits()
            });
            if !is_rising || !is_whole {
                return Err(format!(
                    "the buckets of {name} {labels:?} are not cumulative"
                ));
            }
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let mut bytes = name.bytes();
    let begins = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if begins && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    Err(format!("`{name}` isn't a name"))
}

/// Reads labels after their opening brace. Returns them, and what follows the closing one.
fn labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str), String> {
    let mut labels = BTreeMap::new();
    loop {
        let (name, value) = rest.split_once("=\"").ok_or("a label has no value")?;
        check_name(name)?;
        let mut is_escaped = false;
        let end = value.find(|c: char| {
            let ends = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        });
        let (value, after) = value.split_at(end.ok_or("a value has no end")?);
        if labels.insert(name.to_owned(), unescaped(value)?).is_some() {
            return Err("a label is there twice".to_owned());
        }
        let after = after.strip_prefix('"').ok_or("a quote is missing")?;
        if let Some(after) = after.strip_prefix('}') {
            return Ok((labels, after));
        }
        rest = after.strip_prefix(',').ok_or("a comma is missing")?;
    }
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(one) = rest.next() {
        plain.push(match one {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some(escaped @ ('\\' | '"')) => escaped,
                _ => return Err("no such escape".to_owned()),
            },
            plain => plain,
        });
    }
    Ok(plain)
}

fn number(text: &str) -> Result<f64, String> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        "NaN" => Ok(f64::NAN),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            text.parse().map_err(|_| format!("`{text}` isn't a number"))
        }
        _ => Err(format!("`{text}` isn't a number")),
    }
}
