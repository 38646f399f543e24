//! One picture after the other, until the worker closes the pipe.

use std::io::{Read, Write};

use anyhow::Context;
use caraway_picture::{Fault, Go, Made, Reply, Request, frame, read_frame};

use crate::{make, seal, source::Source};

/// Answers requests. Errors: a worker that says what cannot be read; there is nothing to answer to it.
pub(crate) fn serve(from: &mut impl Read, to: &mut impl Write) -> anyhow::Result<()> {
    while let Some(request) = read_frame::<Request>(from)? {
        let mut file = vec![0; usize::try_from(request.bytes)?];
        from.read_exact(&mut file)?;
        match picture(&request, &file, from, to)? {
            Ok((made, bytes)) => {
                to.write_all(&frame(&Reply::Made(made))?)?;
                to.write_all(&bytes)?;
            }
            Err(fault) => to.write_all(&frame(&Reply::Fault(fault))?)?,
        }
        to.flush()?;
    }
    Ok(())
}

type Outcome = Result<(Made, Vec<u8>), Fault>;

/// Reads the header, asks for the memory, and makes the picture.
fn picture(request: &Request, file: &[u8], from: &mut impl Read, to: &mut impl Write) -> anyhow::Result<Outcome> {
    rs_vips::Vips::error_clear();
    let source = match Source::open(file, request) {
        Ok(source) => source,
        Err(fault) => return Ok(Err(fault)),
    };
    to.write_all(&frame(&Reply::Needs(source.mebibytes))?)?;
    to.flush()?;
    let go: Go = read_frame(from)?.context("the worker has gone")?;
    seal::bound(u64::from(go.mebibytes), u64::from(go.seconds))?;
    Ok(make::make(&source))
}
