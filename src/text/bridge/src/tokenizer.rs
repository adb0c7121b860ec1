//! `tokenizers::Tokenizer` behind the C ABI. Ids cross it as u32 in native byte order.
use crate::reply::{guarded, slice, text, Reply};
use serde::Deserialize;
use tokenizers::{ModelWrapper, Tokenizer};

/// More rows than any vocabulary has; keeps a hostile id from becoming a huge allocation.
const MAX_IDS: u32 = 1 << 24;

/// Mirrors the opaque `OctavoTokenizer` of bridge.h.
pub struct Handle {
    tokenizer: Tokenizer,
    /// For each id whether it names a token.
    known: Vec<bool>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct AddedTokens {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

fn load(json: &[u8]) -> Result<Handle, String> {
    let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
    // These belong to training set-ups. Silently cut or padded prompts would be wrong answers, and
    // dropout makes the ids random.
    tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
    tokenizer.with_padding(None);
    if let ModelWrapper::BPE(bpe) = tokenizer.get_model() {
        if bpe.dropout.is_some() {
            let mut bpe = bpe.clone();
            bpe.dropout = None;
            tokenizer.with_model(bpe);
        }
    }
    // The crate renumbers added tokens that do not continue the vocabulary, with no more than a log
    // line.
    let file: AddedTokens = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    for token in file.added_tokens {
        let given = tokenizer.token_to_id(&token.content);
        if given != Some(token.id) {
            let expected = given.map_or("none".to_string(), |id| id.to_string());
            return Err(format!(
                "added token '{}' has id {} in the file, but {} follows from its vocabulary",
                token.content.escape_debug(),
                token.id,
                expected
            ));
        }
    }
    let vocabulary = tokenizer.get_vocab(true);
    let highest = vocabulary.values().max().copied();
    if highest >= Some(MAX_IDS) {
        return Err(format!(
            "token id {} is too large, at most {} are supported",
            highest.unwrap_or(0),
            MAX_IDS - 1
        ));
    }
    let mut known = vec![false; highest.map_or(0, |id| id as usize + 1)];
    for id in vocabulary.into_values() {
        known[id as usize] = true;
    }
    Ok(Handle { tokenizer, known })
}

fn decode(handle: &Handle, ids: &[u32], skip_special: bool) -> Result<String, String> {
    // The crate leaves unknown ids out without a word.
    if let Some(id) =
        ids.iter().find(|&&id| !handle.known.get(id as usize).copied().unwrap_or(false))
    {
        return Err(format!(
            "token id {id} is not in the vocabulary of {} ids",
            handle.known.len()
        ));
    }
    handle.tokenizer.decode(ids, skip_special).map_err(|error| error.to_string())
}

/// # Safety
/// `json` points to `size` bytes; `out` may be written.
#[no_mangle]
pub unsafe extern "C" fn octavo_tokenizer_new(
    json: *const u8,
    size: usize,
    out: *mut *mut Handle,
) -> Reply {
    *out = std::ptr::null_mut();
    guarded(|| {
        *out = Box::into_raw(Box::new(load(slice(json, size))?));
        Ok(Vec::new())
    })
}

/// # Safety
/// `handle` comes from `octavo_tokenizer_new` and is freed once; null is allowed.
#[no_mangle]
pub unsafe extern "C" fn octavo_tokenizer_free(handle: *mut Handle) {
    if !handle.is_null() {
        drop(Box::from_raw(handle));
    }
}

/// # Safety
/// `handle` is alive, `data` points to `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn octavo_tokenizer_encode(
    handle: *const Handle,
    data: *const u8,
    size: usize,
    add_special: bool,
) -> Reply {
    guarded(|| {
        let encoding = (*handle)
            .tokenizer
            .encode_fast(text(data, size)?, add_special)
            .map_err(|error| error.to_string())?;
        Ok(encoding.get_ids().iter().flat_map(|id| id.to_ne_bytes()).collect())
    })
}

/// # Safety
/// `handle` is alive, `ids` points to `count` ids.
#[no_mangle]
pub unsafe extern "C" fn octavo_tokenizer_decode(
    handle: *const Handle,
    ids: *const u32,
    count: usize,
    skip_special: bool,
) -> Reply {
    guarded(|| decode(&*handle, slice(ids, count), skip_special).map(String::into_bytes))
}

/// # Safety
/// `handle` is alive.
#[no_mangle]
pub unsafe extern "C" fn octavo_tokenizer_size(handle: *const Handle) -> u32 {
    (*handle).known.len() as u32
}

/// # Safety
/// `handle` is alive, `data` points to `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn octavo_tokenizer_token_to_id(
    handle: *const Handle,
    data: *const u8,
    size: usize,
) -> Reply {
    guarded(|| {
        let id = (*handle).tokenizer.token_to_id(text(data, size)?);
        id.map(|id| id.to_ne_bytes().to_vec()).ok_or("no such token".to_string())
    })
}

/// # Safety
/// `handle` is alive.
#[no_mangle]
pub unsafe extern "C" fn octavo_tokenizer_id_to_token(handle: *const Handle, id: u32) -> Reply {
    guarded(|| {
        let token = (*handle).tokenizer.id_to_token(id);
        token.map(String::into_bytes).ok_or("no such id".to_string())
    })
}
