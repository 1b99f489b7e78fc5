//! `lattice new`.

mod dependency;
mod files;
mod name;
mod wasi;
mod write;

use crate::{
    failure::Failure,
    output::{on_one_line, print},
};
use clap::{Args, Subcommand, ValueEnum};
use dependency::Dependency;
use name::ProjectName;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "Examples:
  lattice new actor hello
  lattice new actor hello --lang python
  lattice new provider counter
  lattice new app shop
  lattice new app shop --lang js

Then `lattice dev` in the new folder builds and runs it, and again at each change.";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum New {
    /// Makes an actor: a WebAssembly component that serves HTTP
    Actor(Actor),
    /// Makes a provider: native code in Rust that serves an interface
    Provider(Provider),
    /// Makes an app: a manifest, and an actor with a link to a built-in provider
    App(App),
}

#[derive(Debug, Args)]
pub(crate) struct Actor {
    /// The language of the actor
    #[arg(long, value_enum, default_value_t)]
    lang: Language,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Provider {
    /// The language. Providers are native code, in Rust
    #[arg(long, value_enum, default_value_t)]
    lang: Language,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct App {
    /// The language of its actor
    #[arg(long, value_enum, default_value_t)]
    lang: Language,
    #[command(flatten)]
    target: Target,
}

/// What is made, and where.
#[derive(Debug, Args)]
struct Target {
    /// The name, such as `front-desk`: of the package, of the component, and of the new folder
    name: String,
    /// The folder in which the new one is made
    #[arg(long = "in", value_name = "FOLDER", default_value = ".")]
    within: PathBuf,
    /// A checkout of Lattice's repository on which the project depends. By default, it depends on
    /// the repository itself
    #[arg(long = "sdk", value_name = "FOLDER")]
    checkout: Option<PathBuf>,
}

/// A language for actors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Language {
    /// Rust, with lattice-actor-sdk
    #[default]
    Rust,
    /// Python, with componentize-py
    Python,
    /// JavaScript, with jco
    #[value(name = "js", alias = "javascript")]
    JavaScript,
}

/// What can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Actor(Language),
    Provider,
    App(Language),
}

/// Providers are only made in Rust.
#[derive(Debug, thiserror::Error)]
#[error(
    "there are no providers in {}: a provider is native code, in Rust, for what a component can't do, such as keeping a connection to a database; make one with `lattice new provider {name}`, or an actor in {}, which can export an interface for others to call, too, with `lattice new actor {name} --lang {}`", .lang.shown(), .lang.shown(), .lang.option()
)]
struct NoProviderError {
    name: String,
    lang: Language,
}

impl New {
    /// Makes a project, and prints what to type next.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let wrong = |error: &dyn std::error::Error| Failure::Usage(error.to_string());
        let (kind, target) = match self {
            Self::Actor(actor) => (Kind::Actor(actor.lang), actor.target),
            Self::Provider(provider) => {
                provider.check().map_err(|error| wrong(&error))?;
                (Kind::Provider, provider.target)
            }
            Self::App(app) => (Kind::App(app.lang), app.target),
        };
        let name = ProjectName::new(&target.name).map_err(|error| wrong(&error))?;
        let dependency = Dependency::new(target.checkout).map_err(|error| wrong(&error))?;
        let folder = target.within.join(name.as_str());
        let files = kind.files(&name, &dependency);
        write::project(&folder, &files)?;
        print(&said(kind, &name, &folder))
    }
}

impl Provider {
    fn check(&self) -> Result<(), NoProviderError> {
        if self.lang == Language::Rust {
            return Ok(());
        }
        Err(NoProviderError {
            name: self.target.name.clone(),
            lang: self.lang,
        })
    }
}

impl Language {
    /// Returns its name for people.
    fn shown(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
        }
    }

    /// Returns its name as an option.
    fn option(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "js",
        }
    }
}

impl Kind {
    /// Returns the word for people.
    fn word(self) -> &'static str {
        match self {
            Self::Actor(_) => "actor",
            Self::Provider => "provider",
            Self::App(_) => "app",
        }
    }

    /// Returns what has to be typed once before the project can be built.
    fn preparation(self) -> &'static [&'static str] {
        match self {
            Self::Actor(Language::Rust) | Self::App(Language::Rust) => {
                &["rustup target add wasm32-wasip2"]
            }
            Self::Actor(Language::Python) => &[
                "python3 -m venv .venv",
                ".venv/bin/pip install -r requirements.txt",
            ],
            Self::App(Language::Python) => &[
                "python3 -m venv front/.venv",
                "front/.venv/bin/pip install -r front/requirements.txt",
            ],
            Self::Actor(Language::JavaScript) => &["npm install"],
            Self::App(Language::JavaScript) => &["npm install --prefix front"],
            Self::Provider => &[],
        }
    }

    /// Returns the command that tests the project.
    fn test(self) -> &'static str {
        match self {
            Self::Actor(Language::Python) => "python3 -m unittest discover -s src",
            Self::App(Language::Python) => "python3 -m unittest discover -s front/src",
            Self::Actor(Language::JavaScript) => "npm test",
            Self::App(Language::JavaScript) => "npm test --prefix front",
            Self::Actor(Language::Rust) | Self::Provider | Self::App(Language::Rust) => {
                "cargo test"
            }
        }
    }

    /// Returns the command that calls it while it runs, if a command can.
    fn call(self, name: &ProjectName) -> Option<String> {
        match self {
            Self::Actor(_) => Some("curl http://127.0.0.1:8080/Ada".to_owned()),
            Self::App(_) => Some(format!("curl http://{name}.localhost:8080/Ada")),
            Self::Provider => None,
        }
    }
}

/// Returns what was made, and what to type next.
fn said(kind: Kind, name: &ProjectName, folder: &Path) -> String {
    let shown = on_one_line(&folder.display().to_string());
    let mut lines = vec![
        format!("{} `{name}` is in {shown}. Next, type:", kind.word()),
        String::new(),
        format!("  cd {}", quoted(&shown)),
    ];
    lines.extend(kind.preparation().iter().map(|line| format!("  {line}")));
    lines.push("  lattice dev".to_owned());
    if let Some(call) = kind.call(name) {
        lines.push(String::new());
        lines.push("and when it says that it serves, in another terminal:".to_owned());
        lines.push(String::new());
        lines.push(format!("  {call}"));
    }
    lines.push(String::new());
    lines.push(format!(
        "`{}` tests it. README.md has all commands.\n",
        kind.test()
    ));
    lines.join("\n")
}

/// Returns a path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if path.chars().all(is_plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_type_next_is_said() {
        let name = ProjectName::new("hello").expect("a name");
        let text = said(Kind::Actor(Language::Rust), &name, Path::new("./hello"));
        for line in [
            "actor `hello` is in ./hello. Next, type:",
            "  cd ./hello",
            "  rustup target add wasm32-wasip2",
            "  lattice dev",
            "  curl http://127.0.0.1:8080/Ada",
            "`cargo test` tests it. README.md has all commands.",
        ] {
            assert!(text.lines().any(|said| said == line), "{line}: {text}");
        }
        let text = said(
            Kind::App(Language::JavaScript),
            &name,
            Path::new("a b/hello"),
        );
        assert!(text.contains("  cd 'a b/hello'\n"), "{text}");
        assert!(text.contains("  npm install --prefix front\n"), "{text}");
        assert!(text.contains("http://hello.localhost:8080/"), "{text}");
        let text = said(Kind::Provider, &name, Path::new("hello"));
        assert!(!text.contains("curl"), "{text}");
    }

    #[test]
    fn a_provider_in_another_language_is_refused_with_what_to_make() {
        let provider = |lang| Provider {
            lang,
            target: Target {
                name: "counter".to_owned(),
                within: PathBuf::from("."),
                checkout: None,
            },
        };
        assert!(provider(Language::Rust).check().is_ok());
        let error = provider(Language::JavaScript).check().expect_err("refused");
        let text = error.to_string();
        for said in [
            "no providers in JavaScript",
            "`lattice new provider counter`",
            "`lattice new actor counter --lang js`",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    #[test]
    fn a_path_is_quoted_for_a_shell() {
        assert_eq!(quoted("./a-b_c/d"), "./a-b_c/d");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
