//! The end of a log, and what comes after it.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// How much of a log's end is read, in bytes.
const MOST: u64 = 4 * 1024 * 1024;

/// A place in a log: which file, and how far it has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    inode: u64,
    offset: u64,
}

/// The last lines of a log, from the one before too if this one has just been begun, and where it ends. A log that is
/// not there has none.
pub(super) fn last_lines(file: &Path, count: usize) -> io::Result<(Vec<String>, Place)> {
    let (mut lines, place) = lines_of(file)?;
    if lines.len() < count {
        let mut before = file.as_os_str().to_owned();
        before.push(".1");
        let (mut older, _) = lines_of(Path::new(&before))?;
        older.append(&mut lines);
        lines = older;
    }
    let unwanted = lines.len().saturating_sub(count);
    Ok((lines.split_off(unwanted), place))
}

fn lines_of(file: &Path) -> io::Result<(Vec<String>, Place)> {
    let Some(mut opened) = open(file)? else {
        return Ok((Vec::new(), Place::default()));
    };
    let about = opened.metadata()?;
    let begin = about.len().saturating_sub(MOST);
    opened.seek(SeekFrom::Start(begin))?;
    let mut text = Vec::new();
    opened.take(MOST).read_to_end(&mut text)?;
    let place = Place {
        inode: about.ino(),
        offset: begin + text.len() as u64,
    };
    let mut lines: Vec<_> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
    if begin > 0 && !lines.is_empty() {
        // The first one has lost its beginning.
        lines.remove(0);
    }
    Ok((lines, place))
}

fn open(file: &Path) -> io::Result<Option<File>> {
    match File::open(file) {
        Ok(opened) => Ok(Some(opened)),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// A log that is followed.
#[derive(Debug)]
pub(super) struct Tail {
    file: PathBuf,
    place: Place,
    /// The beginning of a line whose end has not been written yet.
    begun: Vec<u8>,
}

impl Tail {
    pub(super) fn from(file: PathBuf, place: Place) -> Self {
        Self {
            file,
            place,
            begun: Vec::new(),
        }
    }

    /// The lines that were written since the last time.
    pub(super) fn new_lines(&mut self) -> io::Result<Vec<String>> {
        let Some(mut opened) = open(&self.file)? else {
            return Ok(Vec::new());
        };
        let about = opened.metadata()?;
        if about.ino() != self.place.inode || about.len() < self.place.offset {
            // Another file was begun, or this one was emptied.
            self.place = Place {
                inode: about.ino(),
                offset: 0,
            };
        }
        opened.seek(SeekFrom::Start(self.place.offset))?;
        let read = opened.take(MOST).read_to_end(&mut self.begun)?;
        self.place.offset += read as u64;
        let end = self
            .begun
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |last| last + 1);
        // A line without an end must not grow for ever.
        let end = if end == 0 && self.begun.len() as u64 > MOST {
            self.begun.len()
        } else {
            end
        };
        let whole: Vec<u8> = self.begun.drain(..end).collect();
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[test]
    fn the_last_lines_reach_into_the_log_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chat-1.log");
        fs::write(folder.path().join("chat-1.log.1"), "one\ntwo\n").unwrap();
        fs::write(&file, "three\n").unwrap();
        assert_eq!(last_lines(&file, 2).unwrap().0, ["two", "three"]);
        assert_eq!(last_lines(&file, 1).unwrap().0, ["three"]);
        assert!(last_lines(&folder.path().join("none.log"), 3).unwrap().0.is_empty());
    }

    #[test]
    fn a_followed_log_gives_whole_lines_and_goes_on_in_the_next_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chat-1.log");
        let mut writer = fs::File::create(&file).unwrap();
        let mut tail = Tail::from(file.clone(), last_lines(&file, 0).unwrap().1);
        writer.write_all(b"half").unwrap();
        assert!(tail.new_lines().unwrap().is_empty());
        writer.write_all(b" and whole\nnext\n").unwrap();
        assert_eq!(tail.new_lines().unwrap(), ["half and whole", "next"]);
        fs::rename(&file, folder.path().join("chat-1.log.1")).unwrap();
        fs::write(&file, "fresh\n").unwrap();
        assert_eq!(tail.new_lines().unwrap(), ["fresh"]);
    }
}
