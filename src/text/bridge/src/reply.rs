//! What every entry of the bridge returns, and the guard that keeps panics inside.
use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

/// Mirrors `OctavoReply` of bridge.h.
#[repr(C)]
pub struct Reply {
    ok: bool,
    data: *mut u8,
    size: usize,
}

impl Reply {
    fn new(ok: bool, bytes: Vec<u8>) -> Reply {
        let bytes = bytes.into_boxed_slice();
        let size = bytes.len();
        Reply { ok, data: Box::into_raw(bytes) as *mut u8, size }
    }
}

/// Frees what a reply holds.
///
/// # Safety
/// `reply` comes from this bridge and is freed once.
#[no_mangle]
pub unsafe extern "C" fn octavo_reply_free(reply: Reply) {
    drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(reply.data, reply.size)));
}

/// Runs `work`; its error, or the message of a panic in it, becomes the text of a failed reply.
pub fn guarded(work: impl FnOnce() -> Result<Vec<u8>, String>) -> Reply {
    static SILENCE: Once = Once::new();
    SILENCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(bytes)) => Reply::new(true, bytes),
        Ok(Err(message)) => Reply::new(false, message.into_bytes()),
        Err(panic) => Reply::new(false, panic_message(panic).into_bytes()),
    }
}

/// What a panic said.
pub fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let said = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "no reason given",
    };
    format!("the library gave up: {said}")
}

/// The bytes at `data`, which may be null when `size` is 0.
///
/// # Safety
/// `data` points to `size` elements that outlive the call.
pub unsafe fn slice<'a, T>(data: *const T, size: usize) -> &'a [T] {
    if size == 0 {
        &[]
    } else {
        std::slice::from_raw_parts(data, size)
    }
}

/// The same as text; what is not UTF-8 is an error.
///
/// # Safety
/// As for `slice`.
pub unsafe fn text<'a>(data: *const u8, size: usize) -> Result<&'a str, String> {
    std::str::from_utf8(slice(data, size))
        .map_err(|error| format!("byte {} of the text is not UTF-8", error.valid_up_to()))
}
