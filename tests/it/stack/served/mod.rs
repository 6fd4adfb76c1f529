//! What an agent at work gets and does not get. All of these look at one running stack.

mod claude;
mod clients;
mod credentials;
mod planted;
mod seal;
mod tools;

use super::{
    harness,
    internet::{NETWORK, subnet},
    project::{Project, Stack, shared},
};
use std::sync::Arc;

/// The stack of these tests; nothing where Docker is absent.
fn stack() -> Option<Arc<Stack>> {
    harness::available().then(|| shared(start))
}

fn start() -> Stack {
    let subnet = subnet();
    let rest = format!(
        r"
agent:
  image: bottle-test-claude:1
  command: [sleep, infinity]
  user: agent
  workdir: /home/agent
  mounts:
    - {{source: ., target: /work}}
    - {{source: /usr/lib, target: /opt/host-lib, read_only: true}}
egress_proxy:
  routes:
    - host: api.anthropic.com
      path_allowlist: [/v1/messages]
      addresses: [{subnet}]
      auth: {{scheme: Bearer, token_ref: CLAUDE_CODE_OAUTH_TOKEN}}
    - host: api.quickstart.test
      path_allowlist: [/v1/things]
      addresses: [{subnet}]
      auth: {{scheme: header, name: x-api-key, token_ref: THINGS_KEY}}
    - host: github.com
      path_allowlist: [/acme/app.git, /acme/small.git]
      addresses: [{subnet}]
      auth: {{scheme: Basic, username: x-access-token, token_ref: GITHUB_TOKEN}}
egress:
  network: {NETWORK}
  allowlist:
    - {{host: files.quickstart.test, addresses: [{subnet}]}}
    - guarded.quickstart.test
pipelock:
  extra_ca: ./ca.pem
"
    );
    Project::new("served", &rest)
        .token("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-")
        .token("THINGS_KEY", "things-")
        .token("GITHUB_TOKEN", "ghp_")
        .up()
}
