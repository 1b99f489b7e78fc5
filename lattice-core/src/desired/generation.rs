//! Generations: digests of everything that decides what runs. Pure.

use super::{
    ActorSpec, Desired, Image, ImageDigest, InstanceMode, LimitOverrides, ProviderKind,
    ProviderSpec,
};
use crate::name::ComponentId;
use std::{collections::BTreeMap, fmt::Write as _};

/// The most generations of one actor that are remembered to have served.
const REMEMBERED: usize = 16;

/// What of an actor decides what runs, apart from its configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActorCode<'a> {
    pub(crate) image: &'a Image,
    pub(crate) digest: Option<ImageDigest>,
    pub(crate) limits: &'a LimitOverrides,
    pub(crate) instance: InstanceMode,
}

/// Returns the generation of an actor. The same bytes from another location have the same one.
pub(crate) fn of_actor(code: ActorCode<'_>, config: &BTreeMap<String, String>) -> u64 {
    let mut digest = Parts::default();
    digest.add("actor");
    digest.add(&source(code.image, code.digest));
    digest.add(&settings(code.limits, code.instance));
    digest.finish(config)
}

/// Writes the limits and the mode as all versions of Lattice do, because another text is another
/// generation. A limit that earlier versions don't know adds to it only when it is set.
fn settings(limits: &LimitOverrides, instance: InstanceMode) -> String {
    let LimitOverrides {
        memory,
        cpu,
        wall,
        concurrent,
        queued,
        result,
        table_elements,
        outgoing,
        outgoing_bytes,
        handles,
        kept,
    } = *limits;
    let instance = match instance {
        InstanceMode::Fresh => "Fresh",
        InstanceMode::Warm => "Warm",
    };
    let mut text = format!(
        "LimitOverrides {{ memory: {memory:?}, cpu: {cpu:?}, wall: {wall:?}, \
         concurrent: {concurrent:?}, queued: {queued:?}, result: {result:?}, \
         table_elements: {table_elements:?}, outgoing: {outgoing:?} }} {instance}"
    );
    // Writing to a string never fails.
    if let Some(bytes) = outgoing_bytes {
        let _ = write!(text, " outgoing_bytes: {bytes}");
    }
    if let Some(handles) = handles {
        let _ = write!(text, " handles: {handles}");
    }
    if let Some(kept) = kept {
        let _ = write!(text, " kept: {kept:?}");
    }
    text
}

/// Returns the generation of a provider.
pub(crate) fn of_provider(
    kind: &ProviderKind,
    image: Option<ImageDigest>,
    config: &BTreeMap<String, String>,
) -> u64 {
    let mut digest = Parts::default();
    digest.add("provider");
    match kind {
        ProviderKind::Builtin(name) => digest.add(name),
        ProviderKind::Image(place) => digest.add(&source(place, image)),
    }
    digest.finish(config)
}

fn source(image: &Image, digest: Option<ImageDigest>) -> String {
    digest.map_or_else(|| image.to_string(), |digest| digest.to_string())
}

#[derive(Default)]
struct Parts(blake3::Hasher);

impl Parts {
    fn add(&mut self, part: &str) {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part.as_bytes());
    }

    fn finish(mut self, config: &BTreeMap<String, String>) -> u64 {
        for (name, value) in config {
            self.add(name);
            self.add(value);
        }
        let mut first = [0; 8];
        self.0.finalize_xof().fill(&mut first);
        u64::from_le_bytes(first)
    }
}

impl Desired {
    /// Returns the generation of an actor with this declaration: a digest of its image, limits and
    /// configuration.
    pub fn actor_generation(&self, spec: &ActorSpec) -> u64 {
        let code = ActorCode {
            image: &spec.image,
            digest: spec.digest,
            limits: &spec.limits,
            instance: spec.instance,
        };
        of_actor(code, &self.config(&spec.config, &spec.configs))
    }

    /// Returns the generation of a provider with this declaration: a digest of what it is and of
    /// its configuration.
    pub fn provider_generation(&self, spec: &ProviderSpec) -> u64 {
        let config = self.config(&spec.config, &spec.configs);
        of_provider(&spec.kind, spec.digest, &config)
    }

    /// Returns whether this generation of an actor has once served, on any host.
    pub fn has_served(&self, actor: &ComponentId, generation: u64) -> bool {
        let served = self.served.get(actor);
        served.is_some_and(|served| served.spec.generations.contains(&generation))
    }

    /// Returns whether an actor's declared version did not come up, so that hosts run the one
    /// before. A version that has once served is never rolled back.
    pub fn is_rolled_back(&self, actor: &ComponentId, spec: &ActorSpec) -> bool {
        let Some(rejected) = spec.rejected.filter(|_| spec.previous.is_some()) else {
            return false;
        };
        rejected == self.actor_generation(spec) && !self.has_served(actor, rejected)
    }

    /// Returns the version of an actor that hosts run: the declared one, or the one before if that
    /// one was rolled back.
    pub fn running<'a>(&self, actor: &ComponentId, spec: &'a ActorSpec) -> &'a ActorSpec {
        let before = spec.previous.as_deref();
        before
            .filter(|_| self.is_rolled_back(actor, spec))
            .unwrap_or(spec)
    }

    /// Describes what runs of an actor beside or instead of its declared version, given how many
    /// replicas of each generation serve. Returns `None` if nothing else serves.
    pub fn other_versions(
        &self,
        actor: &ComponentId,
        serving: &BTreeMap<u64, u32>,
    ) -> Option<String> {
        let spec = &self.actors.get(actor)?.spec;
        let wanted = self.actor_generation(spec);
        let before = spec.previous.as_deref();
        let before = before.map(|before| (self.actor_generation(before), before.version()));
        let others = serving.iter().filter(|(other, _)| **other != wanted);
        let others = others.map(|(other, count)| match &before {
            Some((generation, version)) if generation == other => format!("{count} of {version}"),
            _ => format!("{count} of another version"),
        });
        let others: Vec<String> = others.collect();
        (!others.is_empty()).then(|| others.join(", "))
    }

    /// Returns whether a declared version is one to go back to: it has served, as far as is known.
    pub(crate) fn is_proven(&self, actor: &ComponentId, spec: &ActorSpec) -> bool {
        let generation = self.actor_generation(spec);
        match self.served.get(actor) {
            Some(served) => served.spec.generations.contains(&generation),
            // Its hosts run a version of Lattice that doesn't record this.
            None => spec.rejected.is_none(),
        }
    }
}

impl super::ServedGenerations {
    /// Adds generations as the latest ones. The oldest ones are forgotten beyond a bound.
    pub(crate) fn add(&mut self, generations: &[u64]) {
        self.generations
            .retain(|known| !generations.contains(known));
        self.generations.extend(generations);
        let surplus = self.generations.len().saturating_sub(REMEMBERED);
        self.generations.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        desired::{Declared, ServedGenerations},
        store::Revision,
    };
    use std::{num::NonZeroU32, time::Duration};

    fn generation(limits: &LimitOverrides, instance: InstanceMode) -> u64 {
        let image = "file:/srv/greeter.wasm".parse().expect("an image");
        let code = ActorCode {
            image: &image,
            digest: None,
            limits,
            instance,
        };
        of_actor(code, &BTreeMap::new())
    }

    /// A change here rolls every actor of every lattice when its hosts are updated.
    #[test]
    fn golden_generations() {
        let none = LimitOverrides::default();
        let mut all = LimitOverrides {
            memory: Some(1 << 20),
            cpu: Some(Duration::from_millis(1_500)),
            wall: Some(Duration::from_secs(30)),
            concurrent: NonZeroU32::new(3),
            queued: Some(0),
            result: Some(7),
            table_elements: Some(30_000),
            outgoing: NonZeroU32::new(5),
            outgoing_bytes: None,
            handles: None,
            kept: None,
        };
        assert_eq!(
            settings(&none, InstanceMode::Fresh),
            "LimitOverrides { memory: None, cpu: None, wall: None, concurrent: None, queued: None, \
             result: None, table_elements: None, outgoing: None } Fresh"
        );
        let set = "LimitOverrides { memory: Some(1048576), cpu: Some(1.5s), wall: Some(30s), \
                   concurrent: Some(3), queued: Some(0), result: Some(7), \
                   table_elements: Some(30000), outgoing: Some(5) } Warm";
        assert_eq!(settings(&all, InstanceMode::Warm), set);
        let warm = generation(&all, InstanceMode::Warm);
        let golden = [generation(&none, InstanceMode::Fresh), warm];
        assert_eq!(
            golden,
            [13_173_050_467_443_571_305, 11_249_386_662_190_462_207]
        );
        all.outgoing_bytes = Some(1);
        assert_eq!(
            settings(&all, InstanceMode::Warm),
            format!("{set} outgoing_bytes: 1")
        );
        assert_ne!(generation(&all, InstanceMode::Warm), warm);
        all.handles = NonZeroU32::new(6);
        all.kept = Some(Duration::from_millis(2_500));
        assert_eq!(
            settings(&all, InstanceMode::Warm),
            format!("{set} outgoing_bytes: 1 handles: 6 kept: 2.5s")
        );
        let mut one = none;
        one.handles = NonZeroU32::new(6);
        let mut other = none;
        other.kept = Some(Duration::from_secs(6));
        let with_one = generation(&one, InstanceMode::Fresh);
        assert_ne!(with_one, golden[0]);
        assert_ne!(with_one, generation(&other, InstanceMode::Fresh));
        assert_ne!(generation(&none, InstanceMode::Warm), golden[0]);
        let mut short = none;
        short.cpu = Some(Duration::from_micros(1_500));
        short.wall = Some(Duration::from_nanos(2_050));
        let text = settings(&short, InstanceMode::Fresh);
        assert!(
            text.contains("cpu: Some(1.5ms), wall: Some(2.05µs),"),
            "{text}"
        );
    }

    #[test]
    fn a_version_that_has_served_is_not_rolled_back_whatever_its_record_says() {
        let actor = ComponentId::new("greeter").expect("valid");
        let image = |text: &str| text.parse::<Image>().expect("an image");
        let mut desired = Desired::default();
        let mut spec = ActorSpec::new(image("reg.example/greeter:2"));
        spec.previous = Some(Box::new(ActorSpec::new(image("reg.example/greeter:1"))));
        let generation = desired.actor_generation(&spec);
        spec.rejected = Some(generation);
        assert!(desired.is_rolled_back(&actor, &spec));
        let mut served = ServedGenerations::default();
        served.add(&[generation]);
        let served = Declared::new(Revision(1), served);
        desired.served.insert(actor.clone(), served);
        assert!(!desired.is_rolled_back(&actor, &spec));
        assert_eq!(desired.running(&actor, &spec), &spec);
    }
}
