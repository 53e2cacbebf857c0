//! The C side: SQLite's tables of functions, each of which hands over to a trait. With `opened` the only `unsafe` of the workspace.
//!
//! What every function leans on, from SQLite's documentation of `sqlite3_vfs` and `sqlite3_io_methods`: the pointers that
//! SQLite hands in are valid for the call; a `sqlite3_file` has room for `szOsFile` bytes and is given to the other functions
//! only between an `xOpen` that set `pMethods` and its `xClose`; one connection uses it, and one call at a time.
#![expect(unsafe_code, reason = "SQLite calls a file system through C function pointers; nothing else here needs it")]

mod opened;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rusqlite::ffi;

use self::opened::Opened;
use crate::{Failure, FileKind, FileSystem, OpenOptions};

/// A file system that SQLite knows by a name, as long as this lives or a file on it is open.
pub struct Registration {
    place: &'static Place,
}

/// A name in SQLite's list of file systems. It is never freed; whoever comes next takes it over.
struct Place {
    name: CString,
    held: Mutex<Option<Held>>,
}

#[derive(Clone)]
struct Held {
    system: Arc<dyn FileSystem>,
    registration: Weak<Registration>,
}

/// Places that nobody holds.
static FREE: Mutex<Vec<&'static Place>> = Mutex::new(Vec::new());
static NAMED: Mutex<u64> = Mutex::new(0);
static SEEDING: Mutex<()> = Mutex::new(());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Registration").field(&self.name()).finish()
    }
}

impl Registration {
    /// Makes SQLite know `system`. `None` when SQLite has no memory for it.
    #[must_use]
    pub fn new(system: Arc<dyn FileSystem>) -> Option<Arc<Self>> {
        let free = lock(&FREE).pop();
        let place = match free {
            Some(place) => place,
            None => register()?,
        };
        Some(Arc::new_cyclic(|registration| {
            *lock(&place.held) = Some(Held { system, registration: registration.clone() });
            Self { place }
        }))
    }

    /// What SQLite knows it by: the `zVfs` of `sqlite3_open_v2`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.place.name.to_str().unwrap_or_default()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let held = lock(&self.place.held).take();
        lock(&FREE).push(self.place);
        drop(held);
    }
}

/// Makes the numbers that SQLite draws next follow from `seed`: the salts of a write-ahead log, the nonce of a journal,
/// `random()`. SQLite has one generator for the whole process, so this is reproducible only while no other thread draws.
pub fn seed_randomness(seed: u32) {
    let _one_at_a_time = lock(&SEEDING);
    // 0 would ask the operating system.
    let seed = seed.max(1);
    // SAFETY: this operation takes an unsigned number and a connection, which may be null; it takes the generator's lock, under
    // which SQLite calls no file system of ours.
    unsafe {
        ffi::sqlite3_test_control(ffi::SQLITE_TESTCTRL_PRNG_SEED, seed, std::ptr::null_mut::<ffi::sqlite3>());
    }
}

fn register() -> Option<&'static Place> {
    let number = {
        let mut named = lock(&NAMED);
        *named += 1;
        *named
    };
    let name = CString::new(format!("simulated-{number}")).ok()?;
    let place: &'static Place = Box::leak(Box::new(Place { name, held: Mutex::new(None) }));
    let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
        iVersion: 2,
        szOsFile: size_of::<Opened>() as c_int,
        mxPathname: 512,
        pNext: std::ptr::null_mut(),
        zName: place.name.as_ptr(),
        pAppData: std::ptr::from_ref(place).cast_mut().cast(),
        xOpen: Some(x_open),
        xDelete: Some(x_delete),
        xAccess: Some(x_access),
        xFullPathname: Some(x_full_pathname),
        xDlOpen: Some(x_dl_open),
        xDlError: Some(x_dl_error),
        xDlSym: Some(x_dl_sym),
        xDlClose: Some(x_dl_close),
        xRandomness: Some(x_randomness),
        xSleep: Some(x_sleep),
        xCurrentTime: Some(x_current_time),
        xGetLastError: Some(x_get_last_error),
        xCurrentTimeInt64: Some(x_current_time_int64),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }));
    // SAFETY: the table and everything it points to is leaked, so it outlives every connection.
    let code = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
    (code == ffi::SQLITE_OK).then_some(place)
}

fn code(failure: Failure) -> c_int {
    match failure {
        Failure::Busy => ffi::SQLITE_BUSY,
        Failure::Full => ffi::SQLITE_FULL,
        Failure::ReadOnly => ffi::SQLITE_READONLY,
        Failure::CannotOpen => ffi::SQLITE_CANTOPEN,
        Failure::Missing => ffi::SQLITE_IOERR_DELETE_NOENT,
        Failure::Read => ffi::SQLITE_IOERR_READ,
        Failure::Write => ffi::SQLITE_IOERR_WRITE,
        Failure::Sync => ffi::SQLITE_IOERR_FSYNC,
        Failure::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
        Failure::Gone => ffi::SQLITE_IOERR,
    }
}

/// Runs `work`; a panic becomes an error of the disk, and unwinds no C frame.
fn guarded(work: impl FnOnce() -> Result<(), Failure>) -> c_int {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => ffi::SQLITE_OK,
        Ok(Err(failure)) => code(failure),
        Err(_) => ffi::SQLITE_IOERR,
    }
}

/// # Safety
/// `vfs` is one of ours.
unsafe fn on_system(vfs: *mut ffi::sqlite3_vfs, work: impl FnOnce(&Held) -> Result<(), Failure>) -> c_int {
    guarded(|| {
        // SAFETY: the caller's; tables are never freed.
        let place = unsafe { (*vfs).pAppData }.cast::<Place>();
        // SAFETY: `register` put a leaked place there.
        let place = unsafe { &*place };
        let held = lock(&place.held).clone();
        held.map_or(Err(Failure::CannotOpen), |held| work(&held))
    })
}

/// # Safety
/// `text` is null or ends with a zero, and lives as long as the answer.
unsafe fn path<'a>(text: *const c_char) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| Failure::CannotOpen)
}

fn options(flags: c_int) -> OpenOptions {
    const JOURNALS: c_int = ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL;
    let has = |wanted: c_int| flags & wanted != 0;
    let kind = if has(ffi::SQLITE_OPEN_MAIN_DB) {
        FileKind::Database
    } else if has(ffi::SQLITE_OPEN_WAL) {
        FileKind::Wal
    } else if has(JOURNALS) {
        FileKind::Journal
    } else {
        FileKind::Temporary
    };
    OpenOptions {
        kind,
        writable: has(ffi::SQLITE_OPEN_READWRITE),
        create: has(ffi::SQLITE_OPEN_CREATE),
        exclusive: has(ffi::SQLITE_OPEN_EXCLUSIVE),
        delete_on_close: has(ffi::SQLITE_OPEN_DELETEONCLOSE),
    }
}

unsafe extern "C" fn x_open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let opened = file.cast::<Opened>();
    // SAFETY: SQLite hands in room for an `Opened`, aligned for any C type.
    unsafe { opened.write(Opened::nothing()) };
    let work = |held: &Held| {
        let registration = held.registration.upgrade().ok_or(Failure::CannotOpen)?;
        // SAFETY: SQLite's names end with a zero and outlive the call.
        let name = unsafe { path(name) }?;
        let file = held.system.open(name, options(flags))?;
        let open = Opened::new(file, registration);
        // SAFETY: as above; `x_close` takes the box back.
        unsafe { opened.write(open) };
        if !out_flags.is_null() {
            // SAFETY: not null, so it is SQLite's.
            unsafe { out_flags.write(flags) };
        }
        Ok(())
    };
    // SAFETY: SQLite calls a table's functions with that table.
    unsafe { on_system(vfs, work) }
}

unsafe extern "C" fn x_delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    let work = |held: &Held| {
        // SAFETY: SQLite's names end with a zero and outlive the call.
        let name = unsafe { path(name) }?.ok_or(Failure::Missing)?;
        held.system.delete(name, sync_folder != 0)
    };
    // SAFETY: SQLite calls a table's functions with that table.
    unsafe { on_system(vfs, work) }
}

unsafe extern "C" fn x_access(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, _: c_int, out: *mut c_int) -> c_int {
    let work = |held: &Held| {
        // SAFETY: SQLite's names end with a zero and outlive the call.
        let name = unsafe { path(name) }?.ok_or(Failure::Missing)?;
        let exists = held.system.exists(name)?;
        // SAFETY: SQLite always wants the answer.
        unsafe { out.write(c_int::from(exists)) };
        Ok(())
    };
    // SAFETY: SQLite calls a table's functions with that table.
    unsafe { on_system(vfs, work) }
}

/// Every path is as it is; there are no folders.
unsafe extern "C" fn x_full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    guarded(|| {
        // SAFETY: SQLite's names end with a zero and outlive the call.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
        if name.len() > usize::try_from(room).unwrap_or(0) {
            return Err(Failure::CannotOpen);
        }
        // SAFETY: `out` has room for `room` bytes, and is SQLite's own buffer.
        unsafe { out.cast::<u8>().copy_from_nonoverlapping(name.as_ptr(), name.len()) };
        Ok(())
    })
}

unsafe extern "C" fn x_dl_open(_: *mut ffi::sqlite3_vfs, _: *const c_char) -> *mut c_void {
    std::ptr::null_mut()
}

unsafe extern "C" fn x_dl_error(_: *mut ffi::sqlite3_vfs, room: c_int, out: *mut c_char) {
    if room > 0 {
        // SAFETY: there is room for one byte.
        unsafe { out.write(0) };
    }
}

type Symbol = unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *mut c_void, *const c_char);

unsafe extern "C" fn x_dl_sym(_: *mut ffi::sqlite3_vfs, _: *mut c_void, _: *const c_char) -> Option<Symbol> {
    None
}

unsafe extern "C" fn x_dl_close(_: *mut ffi::sqlite3_vfs, _: *mut c_void) {}

unsafe extern "C" fn x_randomness(vfs: *mut ffi::sqlite3_vfs, bytes: c_int, out: *mut c_char) -> c_int {
    let work = |held: &Held| {
        let length = usize::try_from(bytes).unwrap_or(0);
        // SAFETY: SQLite's buffer has so many bytes, and nobody else sees it meanwhile.
        let target = unsafe { std::slice::from_raw_parts_mut(out.cast::<u8>(), length) };
        held.system.fill_random(target);
        Ok(())
    };
    // SAFETY: SQLite calls a table's functions with that table.
    let code = unsafe { on_system(vfs, work) };
    if code == ffi::SQLITE_OK { bytes } else { 0 }
}

unsafe extern "C" fn x_sleep(vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    let wait = Duration::from_micros(u64::try_from(microseconds).unwrap_or(0));
    // SAFETY: SQLite calls a table's functions with that table.
    unsafe {
        on_system(vfs, |held| {
            held.system.sleep(wait);
            Ok(())
        });
    }
    microseconds
}

/// Milliseconds from the start of the Julian calendar to 1970.
const JULIAN_MS: i64 = 210_866_760_000_000;

unsafe extern "C" fn x_current_time_int64(vfs: *mut ffi::sqlite3_vfs, out: *mut i64) -> c_int {
    let work = |held: &Held| {
        let now = held.system.unix_ms().saturating_add(JULIAN_MS);
        // SAFETY: SQLite always wants the answer.
        unsafe { out.write(now) };
        Ok(())
    };
    // SAFETY: SQLite calls a table's functions with that table.
    unsafe { on_system(vfs, work) }
}

unsafe extern "C" fn x_current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    let mut now = 0;
    // SAFETY: as for this function, and `now` outlives the call.
    let code = unsafe { x_current_time_int64(vfs, &raw mut now) };
    // SAFETY: SQLite always wants the answer.
    unsafe { out.write(now as f64 / 86_400_000.0) };
    code
}

unsafe extern "C" fn x_get_last_error(_: *mut ffi::sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}
