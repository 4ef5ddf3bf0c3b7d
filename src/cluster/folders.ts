/** File in a run directory with the job that runs it. */
export const SUBMISSION_FILE = 'submission.json'

/** Folder of a run directory with the script, the configuration and the history of its job. */
export const SUBMISSION_FOLDER = 'submission'

/** File in it: one line of JSON for each start of the job that ended by itself. */
export const HISTORY_FILE = 'history.jsonl'

/** Folder of a run directory through which other nodes control the run. Whoever writes into it controls the run. */
export const REQUESTS_FOLDER = 'requests'

/** File in `submission/`: one line of JSON for each job of an array that was submitted. */
export const JOBS_FILE = 'jobs.jsonl'

/** Scripts in `submission/` of an array: one for each part of its tasks, one before each further wave, and the merge. */
export const ARRAY_SCRIPTS = {
  tasks: (number: number) => `tasks-${number}.sbatch`,
  wave: (number: number) => `wave-${number}.sbatch`,
  merge: 'merge.sbatch',
} as const
