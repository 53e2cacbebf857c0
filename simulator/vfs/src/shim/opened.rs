//! SQLite's table of functions of an open file, each of which hands over to [`OpenFile`].
//!
//! What every function leans on is said in `shim.rs`.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::sync::Arc;

use rusqlite::ffi;

use super::{Registration, guarded};
use crate::{Failure, LockLevel, OpenFile, WalIndex};

/// What SQLite keeps of an open file.
#[repr(C)]
pub(super) struct Opened {
    /// First, because SQLite sees only this.
    base: ffi::sqlite3_file,
    /// A box, between `x_open` and `x_close`.
    inner: *mut Inner,
}

struct Inner {
    file: Box<dyn OpenFile>,
    /// Kept as long as SQLite may hold pointers into it.
    index: RefCell<Option<Arc<WalIndex>>>,
    /// The name stays taken while a connection may open more files by it. Dropped after the file.
    _registration: Arc<Registration>,
}

impl Opened {
    /// Null methods say that there is nothing to close.
    pub(super) fn nothing() -> Self {
        Self { base: ffi::sqlite3_file { pMethods: std::ptr::null() }, inner: std::ptr::null_mut() }
    }

    /// What `x_close` takes back.
    pub(super) fn new(file: Box<dyn OpenFile>, registration: Arc<Registration>) -> Self {
        let inner = Box::new(Inner { file, index: RefCell::new(None), _registration: registration });
        Self { base: ffi::sqlite3_file { pMethods: &raw const METHODS }, inner: Box::into_raw(inner) }
    }
}

/// Version 2: with the index of a write-ahead log, without memory-mapped reading.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(x_close),
    xRead: Some(x_read),
    xWrite: Some(x_write),
    xTruncate: Some(x_truncate),
    xSync: Some(x_sync),
    xFileSize: Some(x_file_size),
    xLock: Some(x_lock),
    xUnlock: Some(x_unlock),
    xCheckReservedLock: Some(x_check_reserved_lock),
    xFileControl: Some(x_file_control),
    xSectorSize: Some(x_sector_size),
    xDeviceCharacteristics: Some(x_device_characteristics),
    xShmMap: Some(x_shm_map),
    xShmLock: Some(x_shm_lock),
    xShmBarrier: Some(x_shm_barrier),
    xShmUnmap: Some(x_shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// # Safety
/// `file` was opened by `x_open` and is not closed.
unsafe fn on_file(file: *mut ffi::sqlite3_file, work: impl FnOnce(&Inner) -> Result<(), Failure>) -> c_int {
    guarded(|| {
        // SAFETY: the caller's.
        let inner = unsafe { (*file.cast::<Opened>()).inner };
        // SAFETY: the box lives until `x_close`, and is only ever shared.
        work(unsafe { &*inner })
    })
}

fn unsigned(number: i64, otherwise: Failure) -> Result<u64, Failure> {
    u64::try_from(number).map_err(|_| otherwise)
}

unsafe extern "C" fn x_close(file: *mut ffi::sqlite3_file) -> c_int {
    guarded(|| {
        let opened = file.cast::<Opened>();
        // SAFETY: SQLite closes what was opened, once.
        let inner = unsafe { std::mem::replace(&mut (*opened).inner, std::ptr::null_mut()) };
        // SAFETY: `x_open` made it from a box.
        drop(unsafe { Box::from_raw(inner) });
        Ok(())
    })
}

unsafe extern "C" fn x_read(file: *mut ffi::sqlite3_file, out: *mut c_void, bytes: c_int, offset: i64) -> c_int {
    let mut short = false;
    let work = |inner: &Inner| {
        let length = usize::try_from(bytes).map_err(|_| Failure::Read)?;
        // SAFETY: SQLite's buffer has so many bytes, all of them initialised or about to be, and nobody else sees it meanwhile.
        let target = unsafe { std::slice::from_raw_parts_mut(out.cast::<u8>(), length) };
        let read = inner.file.read(unsigned(offset, Failure::Read)?, target)?.min(length);
        short = read < length;
        if let Some(rest) = target.get_mut(read..) {
            rest.fill(0);
        }
        Ok(())
    };
    // SAFETY: SQLite calls this on open files.
    let code = unsafe { on_file(file, work) };
    if code == ffi::SQLITE_OK && short { ffi::SQLITE_IOERR_SHORT_READ } else { code }
}

unsafe extern "C" fn x_write(file: *mut ffi::sqlite3_file, from: *const c_void, bytes: c_int, offset: i64) -> c_int {
    let work = |inner: &Inner| {
        let length = usize::try_from(bytes).map_err(|_| Failure::Write)?;
        // SAFETY: SQLite's buffer has so many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), length) };
        inner.file.write(unsigned(offset, Failure::Write)?, bytes)
    };
    // SAFETY: SQLite calls this on open files.
    unsafe { on_file(file, work) }
}

unsafe extern "C" fn x_truncate(file: *mut ffi::sqlite3_file, bytes: i64) -> c_int {
    // SAFETY: SQLite calls this on open files.
    unsafe { on_file(file, |inner| inner.file.truncate(unsigned(bytes, Failure::Truncate)?)) }
}

unsafe extern "C" fn x_sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite calls this on open files.
    unsafe { on_file(file, |inner| inner.file.sync()) }
}

unsafe extern "C" fn x_file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    let work = |inner: &Inner| {
        let length = i64::try_from(inner.file.length()?).map_err(|_| Failure::Read)?;
        // SAFETY: SQLite always wants the answer.
        unsafe { out.write(length) };
        Ok(())
    };
    // SAFETY: SQLite calls this on open files.
    unsafe { on_file(file, work) }
}

fn level(number: c_int) -> LockLevel {
    match number {
        ffi::SQLITE_LOCK_NONE => LockLevel::Unlocked,
        ffi::SQLITE_LOCK_SHARED => LockLevel::Shared,
        ffi::SQLITE_LOCK_RESERVED => LockLevel::Reserved,
        ffi::SQLITE_LOCK_PENDING => LockLevel::Pending,
        _ => LockLevel::Exclusive,
    }
}

unsafe extern "C" fn x_lock(file: *mut ffi::sqlite3_file, number: c_int) -> c_int {
    // SAFETY: SQLite calls this on open files.
    unsafe { on_file(file, |inner| inner.file.lock(level(number))) }
}

unsafe extern "C" fn x_unlock(file: *mut ffi::sqlite3_file, number: c_int) -> c_int {
    // SAFETY: SQLite calls this on open files.
    unsafe { on_file(file, |inner| inner.file.unlock(level(number))) }
}

unsafe extern "C" fn x_check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    let work = |inner: &Inner| {
        let reserved = inner.file.is_reserved()?;
        // SAFETY: SQLite always wants the answer.
        unsafe { out.write(c_int::from(reserved)) };
        Ok(())
    };
    // SAFETY: SQLite calls this on open files.
    unsafe { on_file(file, work) }
}

/// Hints and questions that a file system may ignore.
unsafe extern "C" fn x_file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn x_sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    let mut bytes = 4096;
    let work = |inner: &Inner| {
        bytes = c_int::try_from(inner.file.sector_bytes()).unwrap_or(bytes);
        Ok(())
    };
    // SAFETY: SQLite calls this on open files.
    unsafe { on_file(file, work) };
    bytes
}

unsafe extern "C" fn x_device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    let mut powersafe = false;
    let work = |inner: &Inner| {
        powersafe = inner.file.is_powersafe();
        Ok(())
    };
    // SAFETY: SQLite calls this on open files.
    unsafe { on_file(file, work) };
    if powersafe { ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE } else { 0 }
}

unsafe extern "C" fn x_shm_map(
    file: *mut ffi::sqlite3_file,
    number: c_int,
    bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    let work = |inner: &Inner| {
        let (number, bytes) = (usize::try_from(number), usize::try_from(bytes));
        let (number, bytes) = (number.map_err(|_| Failure::Gone)?, bytes.map_err(|_| Failure::Gone)?);
        let mut index = inner.index.borrow_mut();
        let index = match &mut *index {
            Some(index) => index,
            none => none.insert(inner.file.wal_index()?),
        };
        let region = index.region(number, bytes, extend != 0);
        if region.is_none() && extend != 0 {
            return Err(Failure::Gone);
        }
        // SAFETY: SQLite always wants the answer.
        unsafe { out.write(region.map_or(std::ptr::null_mut(), <*mut u8>::cast)) };
        Ok(())
    };
    // SAFETY: SQLite calls this on open files.
    unsafe { on_file(file, work) }
}

unsafe extern "C" fn x_shm_lock(file: *mut ffi::sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    let work = |inner: &Inner| {
        let (first, count) = (usize::try_from(first), usize::try_from(count));
        let (first, count) = (first.map_err(|_| Failure::Gone)?, count.map_err(|_| Failure::Gone)?);
        let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
        if flags & ffi::SQLITE_SHM_UNLOCK == 0 {
            inner.file.lock_wal_index(first, count, exclusive)
        } else {
            inner.file.unlock_wal_index(first, count, exclusive)
        }
    };
    // SAFETY: SQLite calls this on open files.
    unsafe { on_file(file, work) }
}

unsafe extern "C" fn x_shm_barrier(_: *mut ffi::sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn x_shm_unmap(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    let work = |inner: &Inner| {
        inner.file.leave_wal_index();
        inner.index.replace(None);
        Ok(())
    };
    // SAFETY: SQLite calls this on open files.
    unsafe { on_file(file, work) }
}
