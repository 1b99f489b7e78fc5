//! A provider of two worlds, which gives its resources away in calls that it makes.

use lattice_provider_sdk::{
    Both, Call, CallError, Instance, Lattice, Link, Provider, Refusal, Stateless, serve,
};
use std::sync::OnceLock;

mod newer {
    lattice_provider_sdk::provider!({ inline: "
        package test:both@0.1.0;
        interface parcels {
            resource parcel;
            open: func(name: string) -> parcel;
            name: func(of: borrow<parcel>) -> option<string>;
            show: func(name: string) -> result<string, string>;
        }
        world newer { import parcels; export parcels; }
    " });
}

/// An interface of the same name and version, in which a function has another type.
mod older {
    lattice_provider_sdk::provider!({ inline: "
        package test:both@0.1.0;
        interface parcels {
            resource parcel;
            open: func(name: string) -> parcel;
            name: func(of: borrow<parcel>) -> string;
        }
        interface viewer { use parcels.{parcel}; view: func(it: parcel) -> string; }
        world older { import parcels; export parcels; import viewer; }
    " });
}

/// A component that is given a parcel, and asks for its name.
mod viewing {
    lattice_provider_sdk::provider!({ inline: "
        package test:both@0.1.0;
        interface parcels {
            resource parcel;
            name: func(of: borrow<parcel>) -> string;
        }
        interface viewer { use parcels.{parcel}; view: func(it: parcel) -> string; }
        world viewing { import parcels; export viewer; }
    " });
}

use newer::test::both::parcels as new;
use older::test::both::{parcels as old, viewer};

#[derive(Default)]
struct Parcels(OnceLock<Instance>);

struct Parcel(String);

impl Provider for Parcels {
    type World = Both<newer::World, older::World>;
    type Config = ();
    type Binding = ();

    async fn start(&self, instance: &Instance) -> Result<(), Refusal> {
        self.0.get_or_init(|| instance.clone());
        Ok(())
    }

    async fn link(&self, _: &Link, (): ()) -> Result<(), Refusal> {
        Ok(())
    }
}

impl new::Parcels for Parcels {
    type Parcel = Parcel;

    async fn open(&self, _: &Call<Self>, name: String) -> Parcel {
        Parcel(name)
    }

    async fn name(&self, _: &Call<Self>, of: &Parcel) -> Option<String> {
        Some(of.0.clone())
    }

    async fn show(&self, _: &Call<Self>, name: String) -> Result<String, String> {
        let instance = self.0.get().ok_or("it has not started")?;
        let given: old::ParcelClient = instance
            .give(Parcel(name))
            .map_err(|error| error.to_string())?;
        let wrong = instance.give::<u8, old::ParcelClient>(1);
        assert!(wrong.is_err(), "no resource is a number");
        let viewer = viewer::ViewerClient::new(instance.caller());
        viewer.view(given).await.map_err(|error| error.to_string())
    }
}

impl new::Parcel<Parcels> for Parcel {}

impl old::Parcels for Parcels {
    type Parcel = Parcel;

    async fn open(&self, _: &Call<Self>, name: String) -> Parcel {
        Parcel(name)
    }

    async fn name(&self, _: &Call<Self>, of: &Parcel) -> String {
        of.0.clone()
    }
}

impl old::Parcel<Parcels> for Parcel {}

struct Viewer(lattice_provider_sdk::Caller);

impl Stateless for Viewer {
    type World = viewing::World;
}

impl viewing::test::both::viewer::Viewer for Viewer {
    async fn view(&self, _: &Call<Self>, it: viewing::test::both::parcels::ParcelClient) -> String {
        let parcels = viewing::test::both::parcels::ParcelsClient::new(self.0.clone());
        let name = parcels.name(&it).await;
        format!("a parcel named {}", name.expect("it is called"))
    }
}

async fn served() -> (Lattice, lattice_provider_sdk::ServeHandle) {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let serving = serve(&lattice, "parcels", Parcels::default()).await;
    for (source, interface, target) in [
        ("app", new::INTERFACE.name(), "parcels"),
        ("viewer", new::INTERFACE.name(), "parcels"),
        ("parcels", viewer::INTERFACE.name(), "viewer"),
    ] {
        let link = Link::new(source, interface, target).expect("valid");
        lattice.links().put(link).await.expect("put");
    }
    (lattice, serving.expect("served"))
}

#[tokio::test]
async fn a_function_with_two_types_is_served_with_both() -> Result<(), CallError> {
    let (lattice, _serving) = served().await;
    let caller = lattice.caller("app").expect("an id");
    let (newer, older) = (
        new::ParcelsClient::new(caller.clone()),
        old::ParcelsClient::new(caller),
    );
    let one = newer.open("one").await?;
    assert_eq!(newer.name(&one).await?, Some("one".to_owned()));
    let two = older.open("two").await?;
    assert_eq!(older.name(&two).await?, "two");
    Ok(())
}

#[tokio::test]
async fn a_provider_gives_its_resources_in_calls_of_its_own() -> Result<(), CallError> {
    let (lattice, _serving) = served().await;
    let caller = lattice.caller("viewer").expect("an id");
    let _viewing = serve(&lattice, "viewer", Viewer(caller)).await;
    let app = new::ParcelsClient::new(lattice.caller("app").expect("an id"));
    assert_eq!(
        app.show("gift").await?,
        Ok("a parcel named gift".to_owned())
    );
    Ok(())
}
