//! `lattice call`.

mod arguments;

use crate::{
    failure::Failure,
    options::LatticeOptions,
    output,
    suggest::hint,
    words::{harmless, in_commands},
};
use clap::{Args, ValueEnum};
use lattice_core::{
    Lattice,
    call::CallError,
    client::Encoded,
    constellation::Subject,
    dynamic::{self, Signature, Type},
    name::{ComponentId, FunctionName, InterfaceName, NameError},
    types::ComponentTypes,
};
use lattice_wit::signature::Type as WitType;
use std::{path::PathBuf, time::Duration};
use wasm_wave::{value::Value, wasm::WasmValue as _};

const EXAMPLES: &str = r#"Examples:
  lattice call greeter example:hello/greeter@0.1.0#greet '"Ada"'
  lattice call sums example:math/sums@1.0.0#add 2 3
  lattice call store example:shop/orders@1.0.0#put '{id: 7, tags: ["new"], state: open}, some(3)'

Arguments are WAVE, the text form of WebAssembly values: either one text with all of them, separated
by commas, or one word for each. They are checked against the types that the component published.
The result is printed as WAVE too. Write `--` before arguments that start with a dash but aren't
numbers, such as `-inf`.

As JSON, records are objects, variants with a payload and results are objects with one field, flags
are lists of names, maps are lists of pairs, and an option is its value or null. Of an option of an
option, `none` is null, `some(none)` is {"some": null} and `some(some(7))` is {"some": 7}.

In addition to the usual exit codes: 5 the function returned `err(...)`, 6 the call failed and did not
run, 7 it may have run, 8 it ran and failed."#;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Call {
    /// The component to call
    component: String,
    /// The function to call, such as `example:hello/greeter@0.1.0#greet`
    #[arg(value_name = "INTERFACE#FUNCTION")]
    function: String,
    /// Arguments in WAVE
    #[arg(value_name = "WAVE", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Deadline of the call, such as `500ms`, `2s` or `1m`
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = crate::options::duration)]
    timeout: Duration,
    /// The function may run twice without harm, so the call is retried even if it may have run
    #[arg(long)]
    idempotent: bool,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    output: ValueFormat,
    /// File for the last snapshot of the store. With one from an earlier call, calls work while the
    /// store is unavailable, if the hosts can be reached. One process can use it at a time
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    snapshot: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ValueFormat {
    /// The form that arguments have
    #[default]
    Wave,
    /// For programs
    Json,
}

/// The function to call, with its names parsed.
struct Target {
    component: ComponentId,
    interface: InterfaceName,
    function: FunctionName,
}

impl Call {
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let target = Target::new(&self.component, &self.function)?;
        let lattice = options.open_from(self.snapshot.as_deref()).await?;
        let component = lattice.operator().component(target.component.as_str());
        let published = match component.types().await {
            Ok(types) => types,
            Err(error @ CallError::NotServed { .. }) => {
                return Err(not_served(&lattice, &target.component, &error).await);
            }
            Err(error) => return Err(Failure::from(error)),
        };
        let signature_text = target.signature(&published)?;
        let signature = Signature::parse(signature_text).map_err(|error| {
            Failure::Failed(format!("{target} can't be called with text: {error}"))
        })?;
        let text = self.arguments.join(", ");
        let arguments = arguments::parse(&signature, &text).map_err(|mismatch| {
            Failure::Usage(mismatch.show(&text, &self.function, signature_text))
        })?;
        let call = component
            .call_encoded(
                target.interface.as_str(),
                target.function.as_str(),
                arguments,
            )
            .timeout(self.timeout);
        let call = if self.idempotent {
            call.idempotent()
        } else {
            call
        };
        let Encoded(result) = call.await?;
        answer(signature.result.as_ref(), &result, self.output)
    }
}

impl Target {
    fn new(component: &str, function: &str) -> Result<Self, Failure> {
        let wrong = |error: NameError| Failure::Usage(error.to_string());
        let Some((interface, name)) = function.split_once('#') else {
            return Err(Failure::Usage(format!(
                "`{function}` doesn't name a function; write it as `namespace:package/interface@version#function`"
            )));
        };
        Ok(Self {
            component: ComponentId::new(component).map_err(wrong)?,
            interface: InterfaceName::new(interface).map_err(wrong)?,
            function: FunctionName::new(name).map_err(wrong)?,
        })
    }

    /// Returns the published signature of the function. If there is none, fails with the existing
    /// names.
    fn signature<'t>(&self, published: &'t ComponentTypes) -> Result<&'t str, Failure> {
        let Self {
            component,
            interface,
            function,
        } = self;
        let Some((_, exported)) = published.export(interface) else {
            let there = published.exports.keys().map(InterfaceName::as_str);
            return Err(Failure::NotRun(format!(
                "component `{component}` does not export `{interface}`{}",
                hint("its interfaces", interface.as_str(), there)
            )));
        };
        exported.functions.get(function).map_or_else(
            || {
                let there = exported.functions.keys().map(FunctionName::as_str);
                Err(Failure::NotRun(format!(
                    "`{interface}` of component `{component}` has no function `{function}`{}",
                    hint("its functions", function.as_str(), there)
                )))
            },
            |signature| Ok(signature.as_str()),
        )
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}#{}`", self.interface, self.function)
    }
}

/// Returns the failure for a component that isn't served, with those that are.
async fn not_served(lattice: &Lattice, component: &ComponentId, error: &CallError) -> Failure {
    let view = lattice.constellation().settled().await;
    if view.components.contains_key(component) {
        let why = lattice
            .explain(&Subject::Component(component.clone()))
            .await;
        let why = why.to_string().trim_end().replace('\n', "\n  ");
        return Failure::NotRun(format!("{error}\n  {why}"));
    }
    let there = view.components.keys().map(ComponentId::as_str);
    let hint = hint("components", component.as_str(), there);
    Failure::NotRun(format!("{error}{hint}"))
}

/// Prints the result. A function that returned `err` has its own exit code.
fn answer(ty: Option<&Type>, bytes: &[u8], format: ValueFormat) -> Result<(), Failure> {
    let Some(ty) = ty else {
        return Ok(());
    };
    let value = dynamic::decode(ty, bytes).map_err(|error| {
        Failure::from(CallError::BadResult {
            reason: error.to_string(),
        })
    })?;
    let printed = match format {
        ValueFormat::Wave => {
            let text = wasm_wave::to_string(&value)
                .map_err(|error| Failure::failed("the result can't be written as text", &error))?;
            // A guest may return an error of its own calls.
            let text = if is_err(ty, &value) {
                in_commands(&text)
            } else {
                text
            };
            output::print(&format!("{}\n", harmless(&text)))
        }
        ValueFormat::Json => output::print_json(&format!("{:#}", dynamic::json(&ty.wit, &value))),
    };
    match printed {
        // The exit code is that of the call, even if nothing reads its result.
        Ok(()) | Err(Failure::ReaderLeft) if is_err(ty, &value) => Err(Failure::AnsweredErr),
        printed => printed,
    }
}

fn is_err(ty: &Type, value: &Value) -> bool {
    matches!(ty.wit, WitType::Result { .. }) && value.unwrap_result().is_err()
}
