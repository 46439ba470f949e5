//! A file system layer for SQLite that does what the default one does, records what changes the disk, and fails on demand.
//!
//! SQLite takes such a layer only as a table of C functions, so this file is unsafe. It is reached by crash campaigns alone: a store
//! opened without one of these names never runs any of it.
#![expect(unsafe_code, reason = "SQLite's file system interface is a table of C functions over memory that SQLite owns")]

use super::{
    faults::Faults,
    record::{Event, Recorder},
};
use crate::StoreError;
use rusqlite::ffi;
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What the layer itself needs, behind `pAppData`.
struct Layer {
    base: *mut ffi::sqlite3_vfs,
    recorder: Recorder,
    faults: Arc<Faults>,
    /// Held by what changes the disk until it is recorded: several connections write, and the record has the order of the disk.
    changing: Mutex<()>,
}

/// An open file. SQLite allocates it, with room behind it for the default layer's own.
#[repr(C)]
struct File {
    head: ffi::sqlite3_file,
    layer: *const Layer,
    /// From `Arc::into_raw` of a boxed name; null for files without a name, which hold nothing that outlives the process.
    name: *const Arc<str>,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // Version 2: shared memory for the log's index, no memory mapping of files.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Registers a layer of this name that records into `recorder` and fails as `faults` says. It stays registered as long as the process lives.
pub(super) fn register(name: &str, recorder: Recorder, faults: Arc<Faults>) -> Result<(), StoreError> {
    let failed = |what: &str| StoreError::Unavailable(format!("the recording file system cannot be registered: {what}"));
    let name = CString::new(name).map_err(|_| failed("its name holds a zero"))?;
    // SAFETY: asking for the default layer by null; SQLite keeps it as long as the process lives.
    let base = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    if base.is_null() {
        return Err(failed("there is no default one"));
    }
    let layer = Box::into_raw(Box::new(Layer { base, recorder, faults, changing: Mutex::default() }));
    // SAFETY: `base` is a valid table, see above, and a table may be copied: the functions that stay the default's ignore their first
    // argument but for its path length, which is the same.
    let mut vfs = unsafe { ptr::read(base) };
    let own = c_int::try_from(size_of::<File>()).map_err(|_| failed("its file is too large"))?;
    vfs.szOsFile += own;
    vfs.pNext = ptr::null_mut();
    vfs.zName = name.into_raw();
    vfs.pAppData = layer.cast();
    vfs.xOpen = Some(open);
    vfs.xDelete = Some(delete);
    // SAFETY: the table is leaked on purpose, as SQLite keeps the pointer.
    match unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0) } {
        ffi::SQLITE_OK => Ok(()),
        code => Err(failed(&format!("code {code}"))),
    }
}

/// The last part of a path, or `None` without a path.
///
/// # Safety
/// `path` is null or a string that ends with a zero.
unsafe fn file_name(path: *const c_char) -> Option<Arc<str>> {
    if path.is_null() {
        return None;
    }
    // SAFETY: by this function's contract.
    let path = unsafe { CStr::from_ptr(path) }.to_string_lossy();
    Some(Arc::from(path.rsplit('/').next().unwrap_or(&path)))
}

/// The default layer's file, behind ours.
///
/// # Safety
/// `file` was opened by `open` below.
unsafe fn inner(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: SQLite allocated `szOsFile` bytes, of which the first `size_of::<File>()` are ours.
    unsafe { file.cast::<File>().add(1).cast() }
}

/// Records an event of a named file.
///
/// # Safety
/// `file` was opened by `open` below.
unsafe fn note(file: *mut ffi::sqlite3_file, event: impl FnOnce(Arc<str>) -> Event) {
    // SAFETY: `open` filled both pointers, and `close` alone frees the name.
    unsafe {
        let file = &*file.cast::<File>();
        if let Some(name) = file.name.as_ref() {
            (*file.layer).recorder.push(event(Arc::clone(name)));
        }
    }
}

/// # Safety
/// `file` was opened by `open` below, and is used no longer than it is open.
unsafe fn faults<'a>(file: *mut ffi::sqlite3_file) -> &'a Faults {
    // SAFETY: `open` filled the pointer, and a layer is never freed.
    unsafe { &(*(*file.cast::<File>()).layer).faults }
}

/// # Safety
/// `file` was opened by `open` below, and is used no longer than it is open.
unsafe fn changing<'a>(file: *mut ffi::sqlite3_file) -> MutexGuard<'a, ()> {
    // SAFETY: `open` filled the pointer, and a layer is never freed.
    unsafe { (*(*file.cast::<File>()).layer).changing.lock().unwrap_or_else(PoisonError::into_inner) }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls with our table, a path or null, and memory of `szOsFile` bytes.
    unsafe {
        let layer: *const Layer = (*vfs).pAppData.cast();
        let ours = file.cast::<File>();
        ptr::write(ours, File { head: ffi::sqlite3_file { pMethods: ptr::null() }, layer, name: ptr::null() });
        let base = (*layer).base;
        let code = (*base).xOpen.map_or(ffi::SQLITE_CANTOPEN, |open| open(base, path, inner(file), flags, out));
        if code == ffi::SQLITE_OK {
            (*ours).head.pMethods = &raw const METHODS;
            if let Some(name) = file_name(path) {
                (*ours).name = Box::into_raw(Box::new(name));
            }
        }
        code
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, path: *const c_char, sync_directory: c_int) -> c_int {
    // SAFETY: SQLite calls with our table and a path.
    unsafe {
        let layer: *const Layer = (*vfs).pAppData.cast();
        let base = (*layer).base;
        let code = (*base).xDelete.map_or(ffi::SQLITE_IOERR_DELETE, |delete| delete(base, path, sync_directory));
        if code == ffi::SQLITE_OK
            && let Some(file) = file_name(path)
        {
            (*layer).recorder.push(Event::Delete { file });
        }
        code
    }
}

/// Hands a call to the default layer's file.
macro_rules! pass {
    ($file:ident, $method:ident, $missing:expr $(, $argument:expr)*) => {{
        let inner = inner($file);
        match (*(*inner).pMethods).$method {
            Some(method) => method(inner $(, $argument)*),
            None => $missing,
        }
    }};
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: opened by `open`; SQLite closes once, so the name is freed once.
    unsafe {
        let ours = file.cast::<File>();
        let name = std::mem::replace(&mut (*ours).name, ptr::null());
        if !name.is_null() {
            drop(Box::from_raw(name.cast_mut()));
        }
        pass!(file, xClose, ffi::SQLITE_OK)
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, bytes: *const c_void, count: c_int, offset: i64) -> c_int {
    // SAFETY: opened by `open`; SQLite gives `count` readable bytes.
    unsafe {
        if faults(file).is_full() {
            return ffi::SQLITE_FULL;
        }
        let _changing = changing(file);
        let code = pass!(file, xWrite, ffi::SQLITE_IOERR_WRITE, bytes, count, offset);
        if code == ffi::SQLITE_OK {
            let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), usize::try_from(count).unwrap_or(0));
            note(file, |file| Event::Write { file, offset: offset.cast_unsigned(), bytes: Arc::from(bytes) });
        }
        code
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: opened by `open`.
    unsafe {
        let _changing = changing(file);
        let code = pass!(file, xTruncate, ffi::SQLITE_IOERR_TRUNCATE, size);
        if code == ffi::SQLITE_OK {
            note(file, |file| Event::Truncate { file, size: size.cast_unsigned() });
        }
        code
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: opened by `open`.
    unsafe {
        if faults(file).sync_fails() {
            return ffi::SQLITE_IOERR_FSYNC;
        }
        let _changing = changing(file);
        let code = pass!(file, xSync, ffi::SQLITE_IOERR_FSYNC, flags);
        if code == ffi::SQLITE_OK {
            note(file, |file| Event::Sync { file });
        }
        code
    }
}

/// Methods that change nothing on the disk.
macro_rules! passed_on {
    ($($name:ident = $method:ident($($argument:ident: $kind:ty),*) -> $result:ty, $missing:expr;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $kind)*) -> $result {
            // SAFETY: opened by `open`; the arguments are SQLite's own and go on unchanged.
            unsafe { pass!(file, $method, $missing $(, $argument)*) }
        }
    )*};
}

passed_on! {
    read = xRead(bytes: *mut c_void, count: c_int, offset: i64) -> c_int, ffi::SQLITE_IOERR_READ;
    file_size = xFileSize(size: *mut i64) -> c_int, ffi::SQLITE_IOERR_FSTAT;
    lock = xLock(level: c_int) -> c_int, ffi::SQLITE_IOERR_LOCK;
    unlock = xUnlock(level: c_int) -> c_int, ffi::SQLITE_IOERR_UNLOCK;
    check_reserved_lock = xCheckReservedLock(held: *mut c_int) -> c_int, ffi::SQLITE_IOERR_CHECKRESERVEDLOCK;
    file_control = xFileControl(op: c_int, argument: *mut c_void) -> c_int, ffi::SQLITE_NOTFOUND;
    sector_size = xSectorSize() -> c_int, 512;
    device_characteristics = xDeviceCharacteristics() -> c_int, 0;
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, map: *mut *mut c_void) -> c_int, ffi::SQLITE_IOERR_SHMMAP;
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int, ffi::SQLITE_IOERR_SHMLOCK;
    shm_barrier = xShmBarrier() -> (), ();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int, ffi::SQLITE_OK;
}
