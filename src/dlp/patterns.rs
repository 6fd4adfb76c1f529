//! The built-in patterns: name, severity, shape. Names are those of the program whose place this engine can take.
//!
//! Every expression is bounded, begins with an ASCII letter or digit, and is matched from a left boundary. A
//! minimum length is enough for a match, so that a stream is judged as early as possible.

use super::validate::Validator;
use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton as _, StartKind, dense},
    util::{primitives::StateID, start, syntax},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::LazyLock};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Personal data with a weak shape.
    Low,
    /// Personal data, or an identifier of a credential.
    Medium,
    /// A credential of limited reach, or with a shape that others share.
    High,
    /// A credential with a shape of its own, whatever it opens.
    Critical,
}

impl Severity {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What may stand before a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftBoundary {
    /// Anything but a letter or a digit.
    NotAlnum,
    /// Anything but a letter, a digit, `_` or `-`: for short prefixes, which URL-safe base64 holds by chance.
    NotWord,
    /// As `NotWord`, and no `.`: digits after a decimal point are no number of their own.
    NotNumber,
    /// As `NotWord`, and not inside standard base64: not between two of `+` and `/`.
    NotData,
    /// Exactly this text.
    Text(&'static str),
    /// A parameter's start: `?`, `&`, or that as JSON or HTML escape it.
    Parameter,
}

impl LeftBoundary {
    /// Whether a match may begin after these bytes; a letter or a digit is never among them. `forced` says that they
    /// end in something that separates.
    pub(super) fn holds(self, before: &[u8], forced: bool) -> bool {
        let last = before.last().copied();
        let clear = |refused: &[u8]| forced || last.is_none_or(|b| !refused.contains(&b));
        match self {
            Self::NotAlnum => true,
            Self::NotWord | Self::NotData => clear(b"_-"),
            Self::NotNumber => clear(b"_-."),
            Self::Text(text) => before.ends_with(text.as_bytes()),
            Self::Parameter => {
                matches!(last, Some(b'?' | b'&'))
                    || [&b"&amp;"[..], b"\\u0026", b"%26", b"%3F", b"%3f"].iter().any(|e| before.ends_with(e))
            }
        }
    }
}

/// One built-in pattern.
pub(super) struct Pattern {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    pub(super) core: bool,
    pub(super) left: LeftBoundary,
    pub(super) validator: Validator,
    pub(super) regex: &'static str,
}

const fn token(name: &'static str, left: LeftBoundary, regex: &'static str) -> Pattern {
    Pattern { name, severity: Severity::Critical, core: false, left, validator: Validator::None, regex }
}

impl Pattern {
    const fn core(mut self) -> Self {
        self.core = true;
        self
    }

    const fn high(mut self) -> Self {
        self.severity = Severity::High;
        self
    }

    const fn medium(mut self) -> Self {
        self.severity = Severity::Medium;
        self
    }

    const fn low(mut self) -> Self {
        self.severity = Severity::Low;
        self
    }

    const fn valid(mut self, validator: Validator) -> Self {
        self.validator = validator;
        self
    }
}

use LeftBoundary::{NotAlnum, NotData, NotNumber, NotWord, Parameter, Text};

/// Some base64 text after a key block's header, over line breaks, their escapes and quotes: a header alone is
/// a mention, not a key, and source code mentions it often.
macro_rules! key_block {
    ($head:literal) => {
        concat!(
            $head,
            r#"-----(?:[\s\\"',+]|\\{1,4}[nr]|%0[AaDd]|%20){1,24}"#,
            r#"(?:[A-Za-z0-9+/]{16}|Proc-Type|DEK-Info|Version: |Comment: )"#
        )
    };
}

/// The patterns, in the order in which a tie between them is decided.
#[rustfmt::skip]
pub(super) const TABLE: &[Pattern] = &[
    token("AWS Access ID", NotWord, r"(?:AKIA|ASIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|ABIA|ACCA|APKA)[A-Z0-9]{16}(?:[^A-Za-z0-9_]|\z)").core(),
    token("AWS Secret Key", NotAlnum, r#"(?:(?i:aws[_-]?secret[_-]?(?:access[_-]?)?key)|(?i:secret[_-]?access[_-]?key))(?:[\\"'\s:=>]|%3[AaDd]|%22){1,12}(?:[A-Za-z0-9+]|\\?/){40}(?:[^A-Za-z0-9+/=]|\z)"#).core(),
    token("GCP Service Account Key", NotAlnum, r#"type\\{0,4}"\s{0,8}:\s{0,8}\\{0,4}"service_account\\{0,4}""#).core(),
    token("GitHub Token", NotWord, r"(?:gh[pour]_[A-Za-z0-9]{36}|ghs_[A-Za-z0-9._-]{36})").core(),
    token("GitHub Fine-Grained PAT", NotAlnum, r"github_pat_[A-Za-z0-9_]{36}").core(),
    token("GitLab PAT", NotAlnum, r"glpat-[A-Za-z0-9_-]{20}").core(),
    token("Slack Token", NotAlnum, r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{15}").core(),
    token("Private Key Header", Text("-----"), key_block!(r"BEGIN[ +](?:(?:RSA|EC|DSA|OPENSSH|ENCRYPTED)[ +])?PRIVATE[ +]KEY")).core(),

    token("Anthropic", NotAlnum, r"sk-ant-[A-Za-z0-9_-]{20}"),
    token("OpenAI", NotAlnum, r"sk-(?:proj-[A-Za-z0-9_-]{20}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})"),
    token("OpenAI Service", NotAlnum, r"sk-svcacct-[A-Za-z0-9_-]{20}"),
    token("OpenRouter", NotAlnum, r"sk-or-v1-[a-f0-9]{64}"),
    token("Fireworks", NotWord, r"fw_[A-Za-z0-9]{22}(?:[^A-Za-z0-9_-]|\z)").valid(Validator::MixedValue),
    token("Google OAuth Client Secret", NotAlnum, r"GOCSPX-[A-Za-z0-9_-]{24}"),
    token("Stripe Key", NotWord, r"[rs]k[_-](?:live|test)[_-][A-Za-z0-9]{20}"),
    token("Stripe Webhook", NotAlnum, r"whsec_[A-Za-z0-9+/]{32}"),
    token("GitLab Token", NotAlnum, r"gl(?:dt|rt|cbt|ptt|oas|soat|agent|ft|imt|ffct)-[A-Za-z0-9_-]{20}"),
    token("Google OAuth Token", NotWord, r"ya29\.[A-Za-z0-9_-]{20}"),
    token("Slack App Token", NotAlnum, r"xapp-[0-9]-[A-Za-z0-9]{8,14}-[0-9]{8,20}-[a-f0-9]{32}"),
    token("Discord Bot Token", NotWord, r"[MN][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}"),
    token("SendGrid", NotWord, r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    token("New Relic", NotWord, r"NRAK-[A-Z0-9]{27}"),
    token("Hugging Face", NotWord, r"hf_[A-Za-z0-9]{34,37}(?:[^A-Za-z0-9_-]|\z)"),
    token("Databricks", NotWord, r"dapi[a-f0-9]{32}(?:[^A-Za-z0-9_]|\z)"),
    token("Replicate", NotWord, r"r8_[A-Za-z0-9]{37}"),
    token("Together", NotWord, r"(?:tok_[a-z0-9]{40}|tgp_v1_[A-Za-z0-9_-]{40})"),
    token("Pinecone", NotWord, r"pcsk_[A-Za-z0-9_]{36}"),
    token("Groq", NotWord, r"gsk_[A-Za-z0-9]{48}"),
    token("xAI", NotWord, r"xai-[A-Za-z0-9]{80}"),
    token("Perplexity", NotWord, r"pplx-[A-Za-z0-9]{48}"),
    token("Tavily", NotWord, r"tvly-(?:dev-|prod-)?[A-Za-z0-9]{28}"),
    token("DigitalOcean", NotAlnum, r"do[opr]_v1_[a-f0-9]{64}"),
    token("Vault", NotWord, r"hv[sbr]\.[A-Za-z0-9_-]{24}"),
    token("Vercel", NotWord, r"(?:vc[acikpr]_[A-Za-z0-9]{24}|vercel_[A-Za-z0-9]{24})"),
    token("Supabase", NotWord, r"(?:sb_secret_[A-Za-z0-9_-]{22}_[A-Za-z0-9_-]{8}|sbp_[a-f0-9]{40})"),
    token("npm", NotWord, r"npm_[A-Za-z0-9]{36}"),
    token("PyPI", NotAlnum, r"pypi-AgE[A-Za-z0-9_-]{90}"),
    token("PGP Private Key", Text("-----"), key_block!(r"BEGIN[ +]PGP[ +]PRIVATE[ +]KEY[ +]BLOCK")),
    token("Bitcoin WIF", NotWord, r"(?:5[HJK][1-9A-HJ-NP-Za-km-z]{49}|[KL][1-9A-HJ-NP-Za-km-z]{51})(?:[^A-Za-z0-9]|\z)").valid(Validator::Wif),
    token("Extended Private Key", NotWord, r"[tuvxyz]prv[1-9A-HJ-NP-Za-km-z]{107}"),
    token("Ethereum Private Key", NotWord, r"0x[A-Fa-f0-9]{64}(?:[^A-Za-z0-9_]|\z)"),
    token("Postgres URL", NotAlnum, r#"postgres(?:ql)?(?:\+[a-z0-9]{1,16})?:(?:\\?/){2}[^\s:@/"'\\]{0,64}:[^\s@/"'\\]{3,128}@"#).valid(Validator::UrlPassword),
    token("MySQL URL", NotAlnum, r#"(?:mysql|mariadb)(?:\+[a-z0-9]{1,16})?:(?:\\?/){2}[^\s:@/"'\\]{0,64}:[^\s@/"'\\]{3,128}@"#).valid(Validator::UrlPassword),
    token("MongoDB URL", NotAlnum, r#"mongodb(?:\+srv)?:(?:\\?/){2}[^\s:@/"'\\]{0,64}:[^\s@/"'\\]{3,128}@"#).valid(Validator::UrlPassword),
    token("Redis URL", NotAlnum, r#"rediss?:(?:\\?/){2}[^\s:@/"'\\]{0,64}:[^\s@/"'\\]{3,128}@"#).valid(Validator::UrlPassword),
    token("Azure Storage Key", NotAlnum, r"AccountKey(?:=|%3[Dd])[A-Za-z0-9+/]{86}(?:==|%3[Dd])"),
    token("Azure SAS", Parameter, r"sig=(?:[A-Za-z0-9+/]|%2[BbFf]){43}(?:=|%3[Dd])"),

    token("GCP Private Key ID", NotAlnum, r#"private_key_id\\{0,4}"\s{0,8}:\s{0,8}\\{0,4}"[a-f0-9]{40}"#).high(),
    token("Google API Key", NotData, r"AIza[A-Za-z0-9_-]{35}(?:[^A-Za-z0-9_-]|\z)").high(),
    token("Twilio", NotWord, r"SK[a-f0-9]{32}(?:[^A-Za-z0-9_]|\z)").high(),
    token("Mailgun", NotWord, r"key-[a-f0-9]{32}(?:[^A-Za-z0-9_]|\z)").high(),
    token("Linear", NotAlnum, r"lin_api_[A-Za-z0-9]{40}").high(),
    token("Notion", NotWord, r"ntn_[A-Za-z0-9]{40}").high(),
    token("Sentry", NotAlnum, r"sntry[su]_[A-Za-z0-9+/=_-]{40}").high(),
    token("JWT", NotWord, r"e(?:yJ|yA|w[A-Za-z0-9_-])[A-Za-z0-9_-]{10,600}\.e(?:yJ|yA|w[A-Za-z0-9_-])[A-Za-z0-9_-]{10}").high(),
    token("Credential in URL", Parameter, r"(?i:password|passwd|pwd|secret|client_secret|token|access_token|auth_token|api_?key)=[A-Za-z0-9_.~+/-]{12}").high().valid(Validator::MixedValue),
    token("Environment Variable Secret", Text("_"), r#"(?:TOKEN|SECRET|PASSWORD|PASSWD|API_KEY|APIKEY|SECRET_KEY|ACCESS_KEY|PRIVATE_KEY)=\\{0,4}["']?[A-Za-z0-9_+/.-]{16}"#).high().valid(Validator::MixedValue),

    token("Google OAuth Client ID", NotWord, r"[0-9]{12}-[a-z0-9]{32}\.apps\.googleusercontent\.com").medium(),
    token("Credit Card", NotNumber, r"(?:(?:4[0-9]{3}|5[1-5][0-9]{2}|2[2-7][0-9]{2}|6011|64[4-9][0-9]|65[0-9]{2}|35[2-8][0-9])(?:[ -]?[0-9]{4}){3}|3[47][0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{5})(?:[^A-Za-z0-9_.-]|\.[^0-9]|\z)").medium().valid(Validator::Luhn),
    token("IBAN", NotWord, r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?:[^A-Za-z0-9_]|\z)").medium().valid(Validator::Iban),
    token("Social Security Number", NotNumber, r"[0-9]{3}-[0-9]{2}-[0-9]{4}(?:[^A-Za-z0-9_-]|\z)").low().valid(Validator::Ssn),
];

/// What a look at the bytes from a start says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// No match begins here.
    No,
    /// It depends on bytes that are not there yet.
    More,
    /// A match of this many bytes, certain after that many.
    Match { length: usize, certain: usize },
}

/// A pattern as an automaton that reads from a given start.
pub(super) struct Automaton {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
    /// Whether a longer match may be the valid one.
    longest: bool,
}

impl Automaton {
    /// # Panics
    /// When the expression does not compile; the table is constant, and a test compiles all of it.
    #[expect(clippy::expect_used, reason = "the expressions are constants of this file, compiled by a test")]
    fn new(pattern: &Pattern) -> Self {
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new().start_kind(StartKind::Anchored).match_kind(MatchKind::LeftmostFirst),
            )
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(regex_automata::nfa::thompson::Config::new().utf8(false))
            .build(pattern.regex)
            .expect("a built-in pattern compiles");
        let start =
            dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).expect("no pattern looks around");
        Self { dfa, start, longest: matches!(pattern.validator, Validator::Iban) }
    }

    /// Runs over `text`, which begins at the start to look at; `complete` says that nothing follows it.
    pub(super) fn look(&self, text: &[u8], complete: bool) -> Look {
        let mut state = self.start;
        let mut length = None;
        for (at, byte) in text.iter().enumerate() {
            state = self.dfa.next_state(state, *byte);
            if self.dfa.is_special_state(state) {
                if self.dfa.is_match_state(state) {
                    length = Some(at);
                    if !self.longest {
                        return Look::Match { length: at, certain: at + 1 };
                    }
                } else if self.dfa.is_dead_state(state) {
                    return length.map_or(Look::No, |length| Look::Match { length, certain: at + 1 });
                }
            }
        }
        if !complete {
            return Look::More;
        }
        if self.dfa.is_match_state(self.dfa.next_eoi_state(state)) {
            length = Some(text.len());
        }
        length.map_or(Look::No, |length| Look::Match { length, certain: text.len() })
    }

    /// The length of a match at the beginning of a text whose letters may have lost their case.
    pub(super) fn look_folded(&self, text: &[u8]) -> Option<usize> {
        let mut states = vec![self.start];
        let mut length = None;
        for (at, byte) in text.iter().enumerate() {
            let cases = [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
            let mut next: Vec<_> = states
                .iter()
                .flat_map(|state| cases.map(|byte| self.dfa.next_state(*state, byte)))
                .filter(|state| !self.dfa.is_dead_state(*state))
                .collect();
            next.sort_unstable();
            next.dedup();
            states = next;
            if states.iter().any(|state| self.dfa.is_match_state(*state)) {
                length = Some(at);
            }
            if states.is_empty() || length.is_some() && !self.longest {
                return length;
            }
        }
        let ends = states.iter().any(|state| self.dfa.is_match_state(self.dfa.next_eoi_state(*state)));
        if ends { Some(text.len()) } else { length }
    }

    fn alive_after(&self, bytes: &[u8]) -> bool {
        let end = bytes.iter().fold(self.start, |state, byte| self.dfa.next_state(state, *byte));
        !self.dfa.is_dead_state(end)
    }
}

/// The table, compiled: which patterns can begin with which two bytes.
pub(super) struct Builtin {
    pub(super) automata: Vec<Automaton>,
    begins: Box<[u64; 1024]>,
    by_pair: BTreeMap<u16, Vec<u16>>,
}

impl Builtin {
    fn new() -> Self {
        let automata: Vec<_> = TABLE.iter().map(Automaton::new).collect();
        let mut by_pair: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
        let mut begins = Box::new([0_u64; 1024]);
        for (id, automaton) in (0..).zip(&automata) {
            for first in (0..=255_u8).filter(|b| automaton.alive_after(&[*b])) {
                for second in (0..=255_u8).filter(|b| automaton.alive_after(&[first, *b])) {
                    let pair = u16::from_be_bytes([first, second]);
                    by_pair.entry(pair).or_default().push(id);
                    begins[usize::from(pair >> 6)] |= 1 << (pair & 63);
                }
            }
        }
        Self { automata, begins, by_pair }
    }

    /// The patterns that can begin with these two bytes.
    #[inline]
    pub(super) fn beginning_with(&self, first: u8, second: u8) -> &[u16] {
        let pair = u16::from_be_bytes([first, second]);
        if self.begins[usize::from(pair >> 6)] & (1 << (pair & 63)) == 0 {
            return &[];
        }
        self.by_pair.get(&pair).map_or(&[], Vec::as_slice)
    }
}

/// The compiled table, shared by every scanner of the process.
pub(super) static BUILTIN: LazyLock<Builtin> = LazyLock::new(Builtin::new);

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest text that any pattern reads, which bounds what a stream holds back.
    const LONGEST: usize = 700;

    #[test]
    fn every_pattern_is_bounded_and_begins_with_a_letter_or_digit() {
        for pattern in TABLE {
            let hir =
                syntax::parse_with(pattern.regex, &syntax::Config::new().unicode(false).utf8(false)).unwrap();
            let longest = hir.properties().maximum_len();
            assert!(longest.is_some_and(|n| n <= LONGEST), "{}: {longest:?}", pattern.name);
            assert!(hir.properties().minimum_len().unwrap() >= 11, "{}", pattern.name);
        }
        for pair in BUILTIN.by_pair.keys() {
            assert!(pair.to_be_bytes()[0].is_ascii_alphanumeric());
        }
    }

    #[test]
    fn a_look_says_when_it_needs_more() {
        let id = TABLE.iter().position(|p| p.name == "GitHub Token").unwrap();
        let automaton = &BUILTIN.automata[id];
        let token = format!("gh{}{}", "p_", "a".repeat(36));
        assert_eq!(automaton.look(&token.as_bytes()[..20], false), Look::More);
        assert_eq!(automaton.look(&token.as_bytes()[..20], true), Look::No);
        assert_eq!(automaton.look(token.as_bytes(), true), Look::Match { length: 40, certain: 40 });
        assert_eq!(automaton.look(b"ghost", false), Look::No);
    }
}
