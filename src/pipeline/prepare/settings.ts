import type { RunConfig } from '../../config/schema.js'

/** The sections that decide the content and the place of a prepared case. */
export type PrepareSettings = Pick<RunConfig, 'region' | 'prepare'>

/** The sections that list cases. */
export type DataSettings = Pick<RunConfig, 'region' | 'data'>

/** The sections that decide which cases a training must not share with those it holds out. */
export type LeakCheckSettings = Pick<RunConfig, 'job' | 'data' | 'prepare' | 'training'>
