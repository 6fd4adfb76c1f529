//! Text to `Manifest`: every problem in one report, each with its place in the source.

mod model;

pub use model::{
    Agent, Auth, AuthScheme, Build, DlpAction, Egress, EgressProxy, Engine, Image, Manifest, Mount, Pipelock,
    Route,
};
