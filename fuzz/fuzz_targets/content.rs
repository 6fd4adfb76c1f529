//! What passes as JSON-RPC calls nothing but what is listed, to a reader that takes any member for `method`; and what servers
//! pass over (white space, commas of GraphQL) changes no verdict. The first byte chooses GraphQL or JSON-RPC.
#![no_main]

use bottle::policy::{
    Below, Content, ContentRules, GraphqlOperation, GraphqlRule, Host, Method, PathRules, Route, RpcRule,
    Target,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn passes(content: &ContentRules, body: &[u8]) -> bool {
    let route =
        Route { content: content.clone(), ..Route::open(Host::parse("a.test").unwrap(), "routes[0]") };
    let target = Target::parse(b"/api", PathRules { allowlisted: false, encoded_slash: false }).unwrap();
    let content = Content { method: &Method::POST, content_type: Some(b"application/json"), body };
    route.check_content(&target, content).is_ok()
}

/// Every text at a member that some server could take for the method, wherever it stands in a message.
fn methods(message: &Value) -> Vec<&str> {
    let members = message.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("method"))
        .filter_map(|(_, value)| value.as_str())
        .collect()
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    if choice & 1 == 0 {
        let rule = RpcRule { methods: vec!["tools/list".to_owned(), "ping".to_owned()] };
        let rules = ContentRules { rpc: Some(Below { paths: None, rule }), graphql: None };
        if passes(&rules, body) {
            let value: Value = serde_json::from_slice(body).expect("what passes is JSON");
            let messages = value.as_array().map_or(std::slice::from_ref(&value), Vec::as_slice);
            for method in messages.iter().flat_map(methods) {
                assert!(["tools/list", "ping"].contains(&method), "{method}");
            }
        }
        assert_eq!(passes(&rules, body), passes(&rules, &[b" \n", body, b"\t"].concat()));
    } else {
        let rule = GraphqlRule {
            operations: vec![GraphqlOperation::Query],
            fields: Some(vec!["viewer".to_owned(), "node".to_owned()]),
        };
        let rules = ContentRules { graphql: Some(Below { paths: None, rule }), rpc: None };
        let Ok(text) = std::str::from_utf8(body) else { return };
        let ask = |document: &str| serde_json::to_vec(&serde_json::json!({ "query": document })).unwrap();
        let verdict = passes(&rules, &ask(text));
        assert_eq!(verdict, passes(&rules, &ask(&format!(" ,\n{text}\n,"))));
        // A mutation in the same document is one, wherever it stands.
        if verdict {
            assert!(!passes(&rules, &ask(&format!("{text}\nmutation Other {{ viewer }}"))));
            assert!(!passes(&rules, &ask(&format!("query Other {{ secret }}\n{text}"))));
        }
    }
});
