//! What can be wrong with a store, in words.

macro_rules! whats {
    ($($variant:ident $name:literal zh $zh:literal then_zh $fix_zh:literal en $en:literal then_en $fix_en:literal;)*) => {
        /// What is wrong. The names are part of the contract of `wuku fsck --json`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is explained in both languages by the table below")]
        pub enum What { $($variant,)* }

        impl What {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
            /// Its name, UPPER_SNAKE_CASE.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $name,)* } }
            /// What it means, in Chinese.
            #[must_use]
            pub const fn text_zh(self) -> &'static str { match self { $(Self::$variant => $zh,)* } }
            /// What to do, in Chinese.
            #[must_use]
            pub const fn remedy_zh(self) -> &'static str { match self { $(Self::$variant => $fix_zh,)* } }
            /// What it means, in English.
            #[must_use]
            pub const fn text_en(self) -> &'static str { match self { $(Self::$variant => $en,)* } }
            /// What to do, in English.
            #[must_use]
            pub const fn remedy_en(self) -> &'static str { match self { $(Self::$variant => $fix_en,)* } }
        }
    };
}

whats! {
    EntryMissing "ENTRY_MISSING"
        zh "日志缺少条目。" then_zh "保留现场，从备份恢复数据文件夹。"
        en "Entries of the log are missing." then_en "Keep everything and restore the data folder from a backup.";
    EntryDamaged "ENTRY_DAMAGED"
        zh "日志条目不合规范。" then_zh "保留现场，从备份恢复数据文件夹。"
        en "A log entry breaks a rule." then_en "Keep everything and restore the data folder from a backup.";
    EntryExtra "ENTRY_EXTRA"
        zh "日志端之后还有条目。" then_zh "保留现场，查明是否有别的程序写过数据文件夹。"
        en "There are entries beyond the head of the log." then_en "Keep everything and find out what else wrote to the data folder.";
    HeadDiffers "HEAD_DIFFERS"
        zh "日志端与条目重算的结果不符。" then_zh "保留现场，从备份恢复；比对证据持有人手中的检查点。"
        en "The head of the log is not what its entries give." then_en "Keep everything, restore from a backup, and compare with checkpoints that others hold.";
    TileDiffers "TILE_DIFFERS"
        zh "哈希块缺失、多余或与条目重算的结果不符。" then_zh "从备份恢复；在此之前，经过该块的证明不能核验。"
        en "A tile is missing, too many, or not what the entries give." then_en "Restore from a backup; until then proofs through this tile do not verify.";
    FenceUnreadable "FENCE_UNREADABLE"
        zh "防回退文件无法读取。" then_zh "核对 fence.path，挂上原来的磁盘；确已丢失的，运行 wuku recover --new-log --fence-lost。"
        en "The fence cannot be read." then_en "Check fence.path and mount its disk; if it is lost, run `wuku recover --new-log --fence-lost`.";
    FenceTorn "FENCE_TORN"
        zh "防回退文件的一个槽无法读取，另一个完好。" then_zh "断电会留下这样的槽，枢纽写入下一条时会覆盖它；未断电的，检查磁盘。"
        en "One slot of the fence does not read, the other does." then_en "A power cut leaves that, and the next entry is written over it; without one, look at the disk.";
    FenceDiffers "FENCE_DIFFERS"
        zh "防回退文件见过库中没有的历史。" then_zh "恢复较新的备份；没有的，运行 wuku recover --new-log。"
        en "The fence has seen a history that the store does not have." then_en "Restore a newer backup; if there is none, run `wuku recover --new-log`.";
    StatementMissing "STATEMENT_MISSING"
        zh "条目没有对应的陈述。" then_zh "从备份恢复该行；恢复前，该条目说了什么无从得知。"
        en "An entry has no statement." then_en "Restore the row from a backup; until then nobody can say what the entry says.";
    StatementDamaged "STATEMENT_DAMAGED"
        zh "陈述打不开，或与条目的承诺不符。" then_zh "从备份恢复该行；查明是谁动过数据文件夹。"
        en "A statement does not open under its entry." then_en "Restore the row from a backup, and find out who touched the data folder.";
    StatementExtra "STATEMENT_EXTRA"
        zh "有陈述而没有条目。" then_zh "保留现场，查明是否有别的程序写过数据文件夹。"
        en "There is a statement without an entry." then_en "Keep everything and find out what else wrote to the data folder.";
    LedgerDiffers "LEDGER_DIFFERS"
        zh "主体查询记录与陈述不符。" then_zh "从备份恢复；在此之前，查阅调用记录的结果不完整。"
        en "The ledger of who looked at whom does not fit the statements." then_en "Restore from a backup; until then access lists are not complete.";
    RecordDamaged "RECORD_DAMAGED"
        zh "记录行打不开，或内容与其位置不符。" then_zh "从备份恢复该行；枢纽不会用它作答。"
        en "A record row does not open, or holds another record." then_en "Restore the row from a backup; the hub does not answer from it.";
    RecordMissing "RECORD_MISSING"
        zh "陈述所指的记录版本不在库中。" then_zh "从备份恢复该行；在此之前，对该主体的答复可能有误。"
        en "A record version that a statement names is missing." then_en "Restore the row from a backup; until then answers about it may be wrong.";
    RecordUnstated "RECORD_UNSTATED"
        zh "记录行没有任何变更陈述为据。" then_zh "保留现场，查明是谁写入；从备份恢复。"
        en "No change statement names this record version." then_en "Keep everything, find out who wrote it, restore from a backup.";
    RecordDiffers "RECORD_DIFFERS"
        zh "记录行的内容与变更陈述中的摘要不符。" then_zh "保留现场，从备份恢复该行。"
        en "A record row does not have the digest its change statement names." then_en "Keep everything and restore the row from a backup.";
    VersionGap "VERSION_GAP"
        zh "记录的版本不连续。" then_zh "从备份恢复缺少的版本。"
        en "The versions of a record are not contiguous from 1." then_en "Restore the missing versions from a backup.";
    StampWrong "STAMP_WRONG"
        zh "记录的时间戳行缺失或指向别的条目。" then_zh "从备份恢复该行；按位置查询的结果在此之前不可靠。"
        en "The stamp of a record version is missing or points elsewhere." then_en "Restore the row from a backup; until then questions about the past are not reliable.";
    ImportRowsDiffer "IMPORT_ROWS_DIFFER"
        zh "导入批的记录行与其陈述所载的根不符。" then_zh "从备份恢复该批的记录行，或由数源部门重新归集。"
        en "The rows of an import chunk are not those its statement was made over." then_en "Restore the rows of the chunk from a backup, or have the source import again.";
    LinkDangles "LINK_DANGLES"
        zh "关联指向不存在的记录。" then_zh "从备份恢复所指的记录；按主体或范围查询会因此报错。"
        en "A link or cell leads to no record." then_en "Restore the record it leads to; questions by holder or place fail until then.";
    RequestDamaged "REQUEST_DAMAGED"
        zh "已答复请求的留存行打不开或与陈述不符。" then_zh "从备份恢复；不恢复的，该请求编号重发会失败，24 小时后无影响。"
        en "The kept answer of a request does not open or does not fit its statement." then_en "Restore from a backup; otherwise a repeat of that request fails, for 24 hours.";
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: What,
    /// Where: an entry index, or library, keyed hash and version. Never a person.
    pub place: String,
    /// What exactly.
    pub detail: String,
}

impl Finding {
    pub(super) fn new(what: What, place: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self { what, place: place.into(), detail: detail.to_string() }
    }
}
