//! The one place where the program reads its environment.
//!
//! - `GAIA_HOME`: where Gaia keeps everything on this machine. Default: `/var/lib/gaia` for root, else
//!   `$XDG_STATE_HOME/gaia` or `~/.local/state/gaia`.
//! - `GAIA_MODELS`: where models lie. Default: `models` in home.
//! - `GAIA_PRICE_BOOK`: what cores, memory and volumes cost. Default: `prices.yaml` in home, else the book that is shipped.
//! - `GAIA_FIRST_PORT`: where the search for a free gateway port begins. Default: 7400.
//! - `XDG_STATE_HOME`, `HOME`: see above.
//! - `NO_COLOR`: no colour, whatever its value.
//! - And the variables that a game's routes name for their keys.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use gaia_deploy::{Asked, Home};
use gaia_names::{Secret, Target};
use gaia_spec::PriceBook;

use crate::{
    commands::{HomeArgument, HomeFolderArgument, PriceBookArgument},
    failure::Failure,
};

/// The longest price book, in bytes.
const LONGEST_PRICE_BOOK: u64 = 1 << 20;

/// Home, and where games run: as given, else as the environment says.
///
/// # Errors
///
/// If nobody says where it is, or the environment names no target.
pub(crate) fn home(arguments: &HomeArgument) -> anyhow::Result<Home> {
    let usual = match set("GAIA_TARGET") {
        None => None,
        Some(word) => {
            let word = word.to_string_lossy();
            let target = word.parse::<Target>();
            Some(target.map_err(|fault| Failure::new(format!("GAIA_TARGET: {fault}")).bad_input())?)
        }
    };
    let asked = Asked {
        target: arguments.target,
        usual,
        context: arguments.context.clone(),
    };
    Ok(home_folder(&arguments.folder)?.asked(asked))
}

/// Home alone, for what is the same wherever games run.
///
/// # Errors
///
/// If nobody says where it is.
pub(crate) fn home_folder(arguments: &HomeFolderArgument) -> anyhow::Result<Home> {
    let given = arguments.home.as_deref();
    let usual = || {
        let (state, user) = (path("XDG_STATE_HOME"), path("HOME"));
        Home::usual(rustix::process::geteuid().is_root(), state.as_deref(), user.as_deref())
    };
    let found = given.map(Path::to_owned).or_else(|| path("GAIA_HOME")).or_else(usual);
    let found = found.ok_or_else(|| {
        Failure::new("nobody says where Gaia keeps its files: there is no home folder of yours")
            .bad_input()
            .help("name a folder with --home or GAIA_HOME")
    })?;
    Ok(Home::at(found)?)
}

/// Makes the home folder if it is not there. The stores' user must be able to pass through it.
///
/// # Errors
///
/// If it cannot be made.
pub(crate) fn make_home(home: &Home) -> anyhow::Result<()> {
    let folder = home.path();
    if folder.is_dir() {
        return Ok(());
    }
    let made = fs::create_dir_all(folder).and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o711)));
    made.map_err(|cause| {
        let what = format!("the home folder {} cannot be made", folder.display());
        Failure::new(what)
            .because(cause)
            .help("name another one with --home or GAIA_HOME")
            .into()
    })
}

/// Where models lie.
pub(crate) fn models(home: &Home) -> PathBuf {
    // The process that serves them has another working directory.
    let named = path("GAIA_MODELS").and_then(|folder| std::path::absolute(folder).ok());
    named.unwrap_or_else(|| home.path().join("models"))
}

/// What cores, memory and volumes cost.
///
/// # Errors
///
/// If a book is named, or lies in home, and cannot be used.
pub(crate) fn price_book(home: &Home, arguments: &PriceBookArgument) -> anyhow::Result<PriceBook> {
    let of_home = || Some(home.path().join("prices.yaml")).filter(|file| file.exists());
    let named = arguments.price_book.clone().or_else(|| path("GAIA_PRICE_BOOK"));
    let Some(file) = named.or_else(of_home) else {
        return Ok(PriceBook::shipped()?);
    };
    let unusable = || Failure::new(format!("the price book {} cannot be used", file.display())).bad_input();
    let help = "`gaia explain prices` shows one that is good";
    let mut text = String::new();
    File::open(&file)
        .and_then(|opened| opened.take(LONGEST_PRICE_BOOK).read_to_string(&mut text))
        .map_err(|cause| unusable().because(cause).help(help))?;
    let book = PriceBook::read(&file.display().to_string(), &text);
    Ok(book.map_err(|cause| unusable().because(cause).help(help))?)
}

/// Where the search for a free gateway port begins.
///
/// # Errors
///
/// If the variable holds no port.
pub(crate) fn first_gateway_port() -> anyhow::Result<u16> {
    const USUAL: u16 = 7400;
    let Some(given) = gaia_service::run::environment("GAIA_FIRST_PORT") else {
        return Ok(USUAL);
    };
    given.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
        Failure::new("GAIA_FIRST_PORT holds no port")
            .bad_input()
            .help("set it to a number from 1 to 65535, or unset it")
            .into()
    })
}

/// Whether colour is welcome where there is a terminal.
pub(crate) fn welcomes_colour() -> bool {
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// A secret that a variable holds.
pub(crate) fn secret(name: &str) -> Option<Secret> {
    gaia_service::run::environment(name).map(Secret::new)
}

fn path(name: &str) -> Option<PathBuf> {
    set(name).map(PathBuf::from)
}

fn set(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
