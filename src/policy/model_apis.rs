//! Hosts that are sent conversations with a model: the one list of them.
//!
//! A conversation sends all that was said before with every request. Were a request refused for a secret in it, every later one
//! would be refused, too. So a secret is removed there unless the manifest says otherwise (decision 0057).

/// The documented hosts of APIs that models are talked with over, by name. A host that signs its requests is none: there nothing
/// can be removed.
const MODEL_APIS: [&str; 17] = [
    "ai-gateway.vercel.sh",
    "api.anthropic.com",
    "api.cerebras.ai",
    "api.cohere.com",
    "api.deepseek.com",
    "api.fireworks.ai",
    "api.githubcopilot.com",
    "api.groq.com",
    "api.mistral.ai",
    "api.moonshot.ai",
    "api.openai.com",
    "api.perplexity.ai",
    "api.together.xyz",
    "api.x.ai",
    "generativelanguage.googleapis.com",
    "models.github.ai",
    "openrouter.ai",
];

/// Whether conversations with a model are sent to a host, by its canonical name.
#[must_use]
pub fn is_model_api(host: &str) -> bool {
    MODEL_APIS.contains(&host)
}

/// All of them, in order.
pub fn model_apis() -> impl Iterator<Item = &'static str> {
    MODEL_APIS.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Host;

    #[test]
    fn every_name_is_canonical_and_there_once() {
        assert!(MODEL_APIS.is_sorted_by(|a, b| a < b));
        for host in model_apis() {
            assert_eq!(Host::parse(host).unwrap().as_str(), host);
        }
        assert!(!is_model_api("api.anthropic.com.example") && !is_model_api("anthropic.com"));
    }
}
