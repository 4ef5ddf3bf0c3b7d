import { existsSync } from 'node:fs'
import { basename, dirname, isAbsolute, relative, resolve, sep } from 'node:path'
import { z } from 'zod'
import { docOf, type KeyDoc } from './key.js'
import { type RunConfig, runConfigSchema } from './schema.js'
import { isShipped, shippedFile } from './shipped.js'

/** File of a run directory that records its configuration, with absolute paths. */
export const RECORD = 'config.resolved.yaml'

/** Called where a path of an earlier version is still accepted. */
export type OnNote = (text: string) => void

/**
 * Make the paths of a configuration file absolute: relative ones start at the folder of the file. Those of a shipped
 * configuration start at the working directory, since it is a template; so do those of a record of version 0.1. Until version
 * 0.3, a path that exists from the working directory only is accepted with a note.
 */
export function anchoredToFile(input: unknown, file: string, onNote: OnNote): unknown {
  const folder = resolve(dirname(file))
  const here = process.cwd()
  const template = isShipped(file) || basename(file) === RECORD
  return mapPaths(input, (path, key) => {
    if (startedAtFile(key)) return trainFromOr(key, path, resolve(folder, path))
    return template ? resolve(here, path) : found(path, { folder, before: here, key, onNote })
  })
}

/**
 * Make the paths of `--set` absolute: relative ones start at the working directory. Until version 0.3, a path that exists in
 * the folder of the configuration file only is accepted with a note, if earlier versions took it so.
 */
export function anchoredToHere(input: unknown, file: string, onNote: OnNote): unknown {
  const folder = process.cwd()
  return mapPaths(input, (path, key) => {
    if (!startedAtFile(key)) return resolve(folder, path)
    const before = resolve(dirname(file))
    return trainFromOr(key, path, found(path, { folder, before, key, onNote }))
  })
}

/** Return the configuration with absolute paths, for a record that is read from another folder. */
export function absolutePaths(config: RunConfig): RunConfig {
  return mapPaths(config, (path) => resolve(path)) as RunConfig
}

/** Return the absolute paths of a configuration by their keys. */
export function pathsOf(config: RunConfig): { readonly key: string; readonly path: string }[] {
  const found: { key: string; path: string }[] = []
  mapPaths(config, (path, key) => found.push({ key, path: resolve(path) }))
  return found
}

/** Return the configuration with relative paths below the working directory. */
export function relativePaths(config: RunConfig): RunConfig {
  return mapPaths(config, (path, key) => {
    const below = relative(process.cwd(), resolve(path))
    return startedAtFile(key) || below === '' || below.startsWith('..') || isAbsolute(below) ? path : below
  }) as RunConfig
}

/** Return whether paths of a key started at the file before version 0.2, also with `--set`; all others started at the working directory. */
function startedAtFile(key: string): boolean {
  return /^networks\.\w+\.trainFrom$|^simulation\.(volumesMl|positions)$/.test(key)
}

interface Place {
  readonly folder: string
  /** The folder before version 0.2. */
  readonly before: string
  readonly key: string
  readonly onNote: OnNote
}

function found(path: string, { folder, before, key, onNote }: Place): string {
  const [wanted, old] = [resolve(folder, path), resolve(before, path)]
  if (wanted === old || existsSync(wanted) || !existsSync(old)) return wanted
  onNote(
    `${key}: ${path} exists in ${before}, not in ${folder}, where version 0.3 will look for it. Write ${relative(folder, old)}`,
  )
  return old
}

/** `trainFrom` may name a shipped configuration. */
function trainFromOr(key: string, name: string, file: string): string {
  if (!key.endsWith('.trainFrom') || existsSync(file)) return file
  return shippedFile(name) ?? file
}

type MapPath = (path: string, key: string) => unknown

/** Return a copy with every path mapped. The schema judges values that are no text. */
function mapPaths(input: unknown, place: MapPath): unknown {
  return mapWithin(runConfigSchema, input, place, '')
}

function mapWithin(schema: unknown, value: unknown, place: MapPath, at: string): unknown {
  if (schema instanceof z.ZodNullable) return mapWithin(schema.unwrap(), value, place, at)
  if (schema instanceof z.ZodUnion)
    return mapWithin(
      schema.options.find((one) => one instanceof z.ZodObject),
      value,
      place,
      at,
    )
  if (!(schema instanceof z.ZodObject) || typeof value !== 'object' || value === null || Array.isArray(value))
    return value
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      const below = Object.hasOwn(schema.shape, name) ? schema.shape[name] : undefined
      const key = at === '' ? name : `${at}.${name}`
      const doc = docOf(below)
      if (doc?.path === 'command' && Array.isArray(inner))
        return [name, inner.map((word, at) => (isWordPath(word, at) ? place(word, key) : word))]
      return [name, isPath(doc, inner) ? place(inner, key) : mapWithin(below, inner, place, key)]
    }),
  )
}

/** Return the words of a command line with absolute paths; relative ones start at the folder. */
export function anchoredCommand(words: readonly string[], folder: string): readonly string[] {
  return words.map((word, at) => (isWordPath(word, at) ? resolve(folder, word) : word))
}

/** In a command line, words that start with ./ or ../ are paths, and a first word with a slash or the ending .py. */
function isWordPath(word: unknown, at: number): word is string {
  if (typeof word !== 'string') return false
  return /^\.\.?\//.test(word) || (at === 0 && (word.includes('/') || word.endsWith('.py')))
}

/** The name of a program without a slash is looked up in PATH. */
function isPath(doc: KeyDoc | undefined, value: unknown): value is string {
  if (doc?.path === undefined || typeof value !== 'string' || value === '') return false
  return doc.path !== 'program' || value.includes('/') || value.includes(sep)
}
