import type { RunConfig } from './schema.js'

/** Whether a training paints tumors: every one of job `synthesis`, others with task `freesyn`. */
export function paintsTumors({ job, training }: Pick<RunConfig, 'job' | 'training'>): boolean {
  return job === 'synthesis' || training.task === 'freesyn'
}
