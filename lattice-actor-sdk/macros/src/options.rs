//! The options between the braces of `actor!({ … })`.

use syn::parse::{Parse, ParseStream};
use syn::{Ident, LitStr, Path, Token, braced, token};

/// The options of one `actor!`.
pub(crate) struct Options {
    /// The world to generate bindings for. Without it, the package must have exactly one.
    pub(crate) world: Option<LitStr>,
    /// The source of the WIT.
    pub(crate) source: Source,
    /// The type that implements the exports.
    pub(crate) export: Option<Path>,
}

/// The source of the WIT.
pub(crate) enum Source {
    /// A folder or a file, relative to the crate's `Cargo.toml`.
    Path(LitStr),
    /// The text itself.
    Inline(LitStr),
    /// No option was given: the folder `wit`.
    Default,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self {
            world: None,
            source: Source::Default,
            export: None,
        };
        if input.is_empty() {
            return Ok(options);
        }
        if !input.peek(token::Brace) {
            return Err(input.error(
                "expected braces: `actor!({ world: \"…\", path: \"wit\", export: MyActor })`",
            ));
        }
        let content;
        braced!(content in input);
        while !content.is_empty() {
            options.parse_one(&content)?;
            if !content.is_empty() {
                content.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    fn parse_one(&mut self, content: ParseStream<'_>) -> syn::Result<()> {
        let name: Ident = content.parse()?;
        content.parse::<Token![:]>()?;
        match name.to_string().as_str() {
            "world" => set(&mut self.world, &name, content.parse()?),
            "export" => set(&mut self.export, &name, content.parse()?),
            "path" => self.set_source(&name, Source::Path(content.parse()?)),
            "inline" => self.set_source(&name, Source::Inline(content.parse()?)),
            other => Err(syn::Error::new(
                name.span(),
                format!(
                    "no option `{other}`; the options are `world`, `path`, `inline` and `export`"
                ),
            )),
        }
    }

    fn set_source(&mut self, name: &Ident, source: Source) -> syn::Result<()> {
        if !matches!(self.source, Source::Default) {
            return Err(syn::Error::new(
                name.span(),
                "the WIT has two sources; give either `path` or `inline`, once",
            ));
        }
        self.source = source;
        Ok(())
    }
}

fn set<T>(place: &mut Option<T>, name: &Ident, value: T) -> syn::Result<()> {
    if place.replace(value).is_some() {
        return Err(syn::Error::new(
            name.span(),
            format!("`{name}` is given twice"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        syn::parse_str::<Options>(text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_is_optional() {
        let options = parse("").ok();
        assert!(options.is_some_and(|options| options.world.is_none() && options.export.is_none()));
        assert!(parse("{}").is_ok());
        assert!(parse("{ world: \"w\", path: \"wit\", export: a::B, }").is_ok());
    }

    #[test]
    fn a_wrong_option_is_refused_by_name() {
        let message = |text| parse(text).err().unwrap_or_default();
        assert!(message("{ wurld: \"w\" }").contains("no option `wurld`"));
        assert!(message("{ world: \"a\", world: \"b\" }").contains("`world` is given twice"));
        assert!(message("{ path: \"a\", inline: \"b\" }").contains("either `path` or `inline`"));
        assert!(message("\"wit\"").contains("expected braces"));
    }
}
