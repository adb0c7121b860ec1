//! What a chat template may look like before it is given to the parser, and the one tag that it
//! must not see.
use minijinja::machinery::{tokenize, Token};
use minijinja::syntax::SyntaxConfig;

const MAX_SOURCE_BYTES: usize = 256 << 10;
/// The parser and the compiler recurse once for each operator of a chain such as `- - - x` or
/// `a.b.c`, and statements once for each `elif`. Both are bounded by these, far above what
/// templates need and far below what the stack holds.
const MAX_TOKENS_IN_TAG: usize = 4 << 10;
const MAX_ELIFS: usize = 1 << 10;

/// Hugging Face renders with `trim_blocks` and `lstrip_blocks`.
pub fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .expect("these settings are valid")
}

/// Refuses a source that is too large or too long-winded. Gives it back with `{% generation %}`
/// blocks, which only mark the assistant's text for training, as blocks that are always taken.
pub fn prepare(source: &str) -> Result<String, String> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(format!(
            "the template has {} bytes, at most {MAX_SOURCE_BYTES} are allowed",
            source.len()
        ));
    }
    let mut prepared = String::with_capacity(source.len());
    let mut copied = 0;
    let mut tokens_in_tag = 0;
    let mut in_block = false;
    let mut elifs = 0;
    for token in tokenize(source, false, syntax()) {
        let (token, span) = token.map_err(|error| error.to_string())?;
        match token {
            Token::TemplateData(_) | Token::BlockStart | Token::VariableStart => {
                tokens_in_tag = 0;
                in_block = matches!(token, Token::BlockStart);
            }
            _ => tokens_in_tag += 1,
        }
        if tokens_in_tag > MAX_TOKENS_IN_TAG {
            return Err(format!(
                "line {}: a tag has more than {MAX_TOKENS_IN_TAG} tokens",
                span.start_line
            ));
        }
        let Token::Ident(name) = token else { continue };
        if !in_block || tokens_in_tag != 1 {
            continue;
        }
        elifs += usize::from(name == "elif");
        let replacement = match name {
            "generation" => "if true",
            "endgeneration" => "endif",
            _ => continue,
        };
        prepared.push_str(&source[copied..span.start_offset as usize]);
        prepared.push_str(replacement);
        copied = span.end_offset as usize;
    }
    if elifs > MAX_ELIFS {
        return Err(format!("the template has {elifs} elif tags, at most {MAX_ELIFS} are allowed"));
    }
    prepared.push_str(&source[copied..]);
    Ok(prepared)
}
