//! A file of which only the header is read: what it is, how it stands, what it becomes, and what that costs.

use caraway_picture::{
    ExtraSample, Fault, JpegHeader, Kind, Options, Orientation, Plan, Recognised, Request, Size, TiffHeader, plan,
    recognise,
};
use rs_vips::VipsImage;

use crate::{bmp, cost, load, raster::size_in_vips};

/// What is known of a file before its pixels are decoded.
pub(crate) struct Source<'a> {
    pub(crate) file: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) options: &'a Options,
    pub(crate) header: Header,
    /// Stored pixels.
    pub(crate) size: Size,
    /// How they are turned: by the file, and then by the options.
    pub(crate) turn: Orientation,
    pub(crate) plan: Plan,
    /// Memory that it takes.
    pub(crate) mebibytes: u32,
}

/// What each kind tells.
pub(crate) enum Header {
    Jpeg(JpegHeader),
    Tiff(ExtraSample, u16, VipsImage),
    /// Another one that libvips decodes.
    Vips(VipsImage),
    /// PNG and BMP, which are decoded in Rust as long as they are not too large for that.
    Rust(load::RustHeader),
}

impl<'a> Source<'a> {
    /// Reads the header. Errors: everything that can be told before a pixel is paid for.
    pub(crate) fn open(file: &'a [u8], request: &'a Request) -> Result<Self, Fault> {
        let options = &request.options;
        options.check()?;
        let kind = match recognise(file) {
            Recognised::Read(kind) => kind,
            Recognised::Other(name) => return Err(Fault::Unsupported(name.to_owned())),
            Recognised::Nothing => return Err(Fault::NotAnImage),
        };
        if options.page > 0 && matches!(kind, Kind::Jpeg | Kind::Png | Kind::Bmp) {
            return Err(Fault::InvalidOptions(format!("a {} has one page, which is page 0", kind.name())));
        }
        let (header, size, stands) = read(file, kind, options)?;
        if size.pixels() == 0 {
            return Err(Fault::Corrupt("it has no pixels".to_owned()));
        }
        if size.pixels() > request.pixels_max {
            let megapixels = request.pixels_max / 1_000_000;
            let Size { width, height } = size;
            return Err(Fault::TooLarge(format!(
                "it has {width} x {height} pixels, more than {megapixels} megapixels"
            )));
        }
        let turn = (0..options.rotate.quarters()).fold(stands, |turn, _| turn.then_quarter());
        let plan = plan(turn.upright(size), options)?;
        let mut source = Self { file, kind, options, header, size, turn, plan, mebibytes: 0 };
        source.mebibytes = cost::mebibytes(&source);
        if source.mebibytes > request.mebibytes_max {
            let (needed, most) = (source.mebibytes, request.mebibytes_max);
            let told = format!("it takes {needed} MiB of memory, more than the {most} that one picture may take");
            return Err(Fault::TooLarge(told));
        }
        Ok(source)
    }
}

/// The header, the stored size, and the orientation that the file states.
fn read(file: &[u8], kind: Kind, options: &Options) -> Result<(Header, Size, Orientation), Fault> {
    if matches!(kind, Kind::Png | Kind::Bmp) {
        let patched = if kind == Kind::Bmp { bmp::windows(file)? } else { None };
        let header = load::rust_header(kind, patched.as_deref().unwrap_or(file))?;
        let (size, orientation) = (header.size, header.orientation);
        return Ok((Header::Rust(load::RustHeader { patched, ..header }), size, orientation));
    }
    if kind == Kind::Jpeg {
        let header = JpegHeader::read(file)?;
        let stands = header.exif.as_deref().and_then(image::metadata::Orientation::from_exif_chunk);
        let orientation = Orientation::from_exif(stands.map_or(1, image::metadata::Orientation::to_exif).into());
        let size = header.size;
        return Ok((Header::Jpeg(header), size, orientation));
    }
    let tiff = if kind == Kind::Tiff { Some(TiffHeader::read(file, options.page)?) } else { None };
    let image = load::with_vips(file, kind, options.page, load::Shrink::Whole, true)?;
    let size = size_in_vips(&image);
    Ok(match (tiff, kind) {
        (Some(tiff), _) => {
            let orientation = Orientation::from_exif(tiff.orientation.into());
            (Header::Tiff(tiff.extra, tiff.colours, image), size, orientation)
        }
        // libheif has turned it already
        (None, Kind::Avif | Kind::Heic) => (Header::Vips(image), size, Orientation::UPRIGHT),
        (None, _) => {
            let orientation = Orientation::from_exif(image.get_orientation());
            (Header::Vips(image), size, orientation)
        }
    })
}
