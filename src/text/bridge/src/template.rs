//! Chat templates: `minijinja` set up as Hugging Face sets up Jinja, with limits on everything a
//! template can use up.
use crate::reply::{guarded, panic_message, slice, text, Reply};
use crate::template_source::{prepare, syntax};
use crate::tojson::tojson;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// Steps of one rendering; it bounds the memory that a template can fill too, 64 bytes for each. It
/// grows with the conversation, because some operations cost the square of what a template can
/// build.
const FUEL: u64 = 250_000;
const FUEL_PER_BYTE: u64 = 8;
const MAX_FUEL: u64 = 2_000_000;
const MAX_OUTPUT_BYTES: usize = 16 << 20;
const MAX_MACRO_DEPTH: usize = 100;
/// A stack overflow cannot be caught. What recurses is bounded (see template_source.rs, FUEL), and
/// this much holds it.
const STACK_BYTES: usize = 512 << 20;
const NAME: &str = "chat_template";

/// Fuel does not see all work (a slice of a slice of a slice ...). A rendering that takes longer is
/// given up; its thread runs on until the fuel ends it, and while as many as this run on, nothing
/// is rendered.
const TIME_LIMIT: Duration = Duration::from_secs(5);
const MAX_ABANDONED: usize = 2;

/// Mirrors the opaque `OctavoTemplate` of bridge.h.
pub struct Handle {
    environment: Environment<'static>,
    /// A renderer that was given up is alive as long as its thread runs.
    abandoned: Mutex<Vec<Weak<()>>>,
}

/// Runs `work` on a thread with a large stack; nothing if it takes too long. The token lives as
/// long as the thread.
fn on_large_stack<T: Send + 'static>(
    token: Arc<()>,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<Option<T>, String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        drop(token);
        // When nobody listens any more, the result is not wanted.
        let _ = sender.send(result.unwrap_or_else(|panic| Err(panic_message(panic))));
    };
    std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(thread)
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    receiver.recv_timeout(TIME_LIMIT).ok().transpose()
}

/// The error and what caused it, in one line.
fn describe(error: Error) -> String {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    message
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// Methods of Python's strings, lists and dicts. Without str.format, whose output no fuel bounds:
/// `{:999999999}`.
fn python_method(
    state: &mut State,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    if method == "format" {
        return Err(Error::new(ErrorKind::UnknownMethod, "str.format is not supported"));
    }
    unknown_method_callback(state, value, method, arguments)
}

/// The local time in a format of strftime(3).
fn strftime_now(state: &State, format: String) -> Result<String, Error> {
    let refuse = || Error::new(ErrorKind::InvalidOperation, "strftime_now: not a usable format");
    state.consume_fuel(100)?;
    let format = std::ffi::CString::new(format).map_err(|_| refuse())?;
    let mut formatted = [0u8; 256];
    // Sound: all pointers are to live values of the right type, and strftime keeps to the size it
    // is given.
    let size = unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut parts: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&now, &mut parts).is_null() {
            return Err(refuse());
        }
        libc::strftime(formatted.as_mut_ptr().cast(), formatted.len(), format.as_ptr(), &parts)
    };
    match std::str::from_utf8(&formatted[..size]) {
        Ok(text) if size > 0 => Ok(text.to_string()),
        _ => Err(refuse()),
    }
}

fn compile(source: &str) -> Result<Handle, String> {
    let source = prepare(source)?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax());
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(python_method);
    environment.set_recursion_limit(MAX_MACRO_DEPTH);
    environment.remove_global("debug");
    // Their cost grows with the square of the nesting, before any fuel is charged. Jinja has only
    // the first.
    for filter in ["pprint", "chain", "zip"] {
        environment.remove_filter(filter);
    }
    environment.add_filter("tojson", tojson);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_template_owned(NAME, source).map_err(describe)?;
    Ok(Handle { environment, abandoned: Mutex::new(Vec::new()) })
}

struct LimitedOutput(Vec<u8>);

impl io::Write for LimitedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT_BYTES {
            return Err(io::Error::other(format!(
                "the text grows beyond {MAX_OUTPUT_BYTES} bytes"
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn render(mut environment: Environment<'static>, context: &[u8]) -> Result<Vec<u8>, String> {
    let fuel = FUEL + FUEL_PER_BYTE * context.len() as u64;
    environment.set_fuel(Some(fuel.min(MAX_FUEL)));
    let context: Value = serde_json::from_slice(context).map_err(|error| error.to_string())?;
    let mut output = LimitedOutput(Vec::new());
    let template = environment.get_template(NAME).map_err(describe)?;
    template.render_captured_to(context, &mut output).map_err(describe)?;
    Ok(output.0)
}

fn render_in_time(handle: &Handle, context: Vec<u8>) -> Result<Vec<u8>, String> {
    let lock = || handle.abandoned.lock().map_err(|error| error.to_string());
    let running = {
        let mut abandoned = lock()?;
        abandoned.retain(|token| token.strong_count() > 0);
        abandoned.len()
    };
    if running >= MAX_ABANDONED {
        return Err(format!("{running} renderings that took too long are still running"));
    }
    let token = Arc::new(());
    let weak = Arc::downgrade(&token);
    let environment = handle.environment.clone();
    match on_large_stack(token, move || render(environment, &context))? {
        Some(text) => Ok(text),
        None => {
            lock()?.push(weak);
            Err(format!("the template takes longer than {} seconds", TIME_LIMIT.as_secs()))
        }
    }
}

/// # Safety
/// `source` points to `size` bytes; `out` may be written.
#[no_mangle]
pub unsafe extern "C" fn octavo_template_new(
    source: *const u8,
    size: usize,
    out: *mut *mut Handle,
) -> Reply {
    *out = std::ptr::null_mut();
    guarded(|| {
        let source = text(source, size)?.to_string();
        let handle = on_large_stack(Arc::new(()), move || compile(&source))?
            .ok_or("the template takes too long to compile")?;
        *out = Box::into_raw(Box::new(handle));
        Ok(Vec::new())
    })
}

/// # Safety
/// `handle` comes from `octavo_template_new` and is freed once; null is allowed.
#[no_mangle]
pub unsafe extern "C" fn octavo_template_free(handle: *mut Handle) {
    if !handle.is_null() {
        drop(Box::from_raw(handle));
    }
}

/// # Safety
/// `handle` is alive, `context` points to `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn octavo_template_render(
    handle: *const Handle,
    context: *const u8,
    size: usize,
) -> Reply {
    guarded(|| render_in_time(&*handle, slice(context, size).to_vec()))
}
