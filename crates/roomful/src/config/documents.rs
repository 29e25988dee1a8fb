//! What is written about the settings: a file that has them all, and a page of the documentation.

use serde::Serialize;

/// A setting, for those who write about it.
#[derive(Serialize)]
pub(crate) struct Setting {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    /// Its name in the environment.
    pub(super) environment: String,
    /// What it may be, to follow "it must be".
    pub(super) right: String,
    /// Of what it is a number; empty where it is none.
    pub(super) unit: &'static str,
    /// As it stands in a file.
    pub(super) default: String,
    /// To leave it out is not the same as to write the default.
    pub(super) may_be_unsaid: bool,
    pub(super) about: &'static str,
}

/// How long a line of the file may be.
const WIDTH: usize = 118;

const HEAD: &str = "Every setting there is, with its default: what `roomful settings` prints. A setting can also be given in the \
    environment, as ROOMFUL_<SECTION>__<KEY> (ROOMFUL_LIMITS__CALLS_PER_SECOND=0; texts without quotes, lists with commas), which is \
    stronger than this file; flags are stronger still. Times are written \"15s\", \"500ms\", \"2m\". What begins with \"#=\" is not the \
    same when it is set: other settings take its place then.";

/// A file that has every setting with its default.
pub(super) fn example(sections: &[(&str, &str)], settings: &[Setting]) -> String {
    let mut file = comment(HEAD);
    for (section, about) in sections {
        file += &format!("\n{}[{section}]\n", comment(about));
        for setting in settings.iter().filter(|setting| setting.section == *section) {
            file += &comment(&format!("{} May be {}.", setting.about, setting.right));
            let mark = if setting.may_be_unsaid { "#= " } else { "" };
            file += &format!("{mark}{} = {}\n", setting.key, setting.default);
        }
    }
    file
}

/// Lines of a comment.
fn comment(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::from("#"));
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            lines += &line;
            lines.push('\n');
            line = "#".into();
        }
        line.push(' ');
        line += word;
    }
    lines + &line + "\n"
}

/// The page of the documentation.
#[cfg(test)]
pub(super) fn page(sections: &[(&str, &str)], settings: &[Setting]) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('<', "&lt;");
    let mut page = format!("# Settings\n\n{}\n", cell(HEAD).replace("\"#=\" is", "`#=` in the file is"));
    for (section, about) in sections {
        page += &format!(
            "\n## [{section}]\n\n{}\n\n| key | in the environment | may be | default | what it is for |\n|---|---|---|---|---|\n",
            cell(about)
        );
        for setting in settings.iter().filter(|setting| setting.section == *section) {
            let Setting { key, environment, right, default, about, .. } = setting;
            page +=
                &format!("| `{key}` | `{environment}` | {} | `{default}` | {} |\n", cell(right), cell(about));
        }
    }
    page
}
