//! A file as the body of a message, read piece by piece.

use std::io::{Read, Seek, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

use crate::service::bundle::BundleFile;

/// Bytes read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The content of a file, from its start.
#[derive(Debug)]
pub(crate) struct FileBody {
    bundle: BundleFile,
    left: u64,
}

impl FileBody {
    pub(crate) fn new(bundle: BundleFile) -> std::io::Result<Self> {
        let mut file = bundle.file();
        file.seek(SeekFrom::Start(0))?;
        let left = file.metadata()?.len();
        Ok(Self { bundle, left })
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    /// Reads in line: the pieces are small, and the file was written a moment ago or is read by a command alone.
    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = Vec::new();
        let wanted = this.left.min(PIECE_BYTES as u64);
        Poll::Ready(Some(match this.bundle.file().take(wanted).read_to_end(&mut piece) {
            Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                this.left = this.left.saturating_sub(read as u64);
                Ok(Frame::data(piece.into()))
            }
            Err(error) => Err(error),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
