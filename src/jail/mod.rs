//! The cage of an agent in a Kubernetes pod, made by the agent's own process 1, before the agent is there.
//!
//! All containers of a pod share one network, and a `NetworkPolicy` holds late, not against the node, or not at all. So
//! process 1 of the agent's container leaves that network: it takes a user namespace and a network namespace of its own
//! (`user_namespaces(7)`, `network_namespaces(7)`), which needs no privilege, and whose one interface is loopback. What it
//! starts afterwards, the agent and all of its children, is there too and can't get out: no capability is left in any set,
//! none can come back, and the same list of system calls holds as in a compose stack, whatever profile the pod has.
//!
//! What can't be made, or is not as it should be when it is looked at afterwards, is a [`Refusal`], and no agent is started.

mod agent;
mod enter;
mod filter;
mod loopback;
mod privileges;
mod refusal;

pub use agent::{Agent, StartError};
pub use enter::enter;
pub use refusal::Refusal;
