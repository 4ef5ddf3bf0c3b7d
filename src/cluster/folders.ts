/** Folder of a run directory with the script, the configuration and the history of its job. */
export const SUBMISSION_FOLDER = 'submission'

/** File in it: one line of JSON for each start of the job that ended by itself. */
export const HISTORY_FILE = 'history.jsonl'

/** Folder of a run directory through which other nodes control the run. Whoever writes into it controls the run. */
export const REQUESTS_FOLDER = 'requests'
