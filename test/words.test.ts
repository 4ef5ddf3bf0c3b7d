import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { packageRoot } from '../src/runtime/python.js'
import { runPython } from './helpers/python.js'
import { sourceFiles } from './helpers/source-files.js'
import {
  lineComments,
  longSentences,
  MAX_WORDS,
  type ReadText,
  type SourceWords,
  titlesOf,
  wordsOf,
} from './helpers/words.js'

/** Words that no text for a person contains, and what to write instead. */
const GLOSSARY: readonly (readonly [wrong: RegExp, instead: string])[] = [
  [/\b(go(es)?|went|gone|going) on\b/i, 'resume, continue'],
  [/\bunbroken run\b|\bin parts\b/i, 'uninterrupted run, resumed run'],
  [/\bsame in every bit\b|\bto the last bit\b|\bequal in hexadecimal\b/i, 'bit-identical'],
  [/\banew\b/i, 'again; overwrite, recompute; restart from step 0'],
  [/\bhalf-written\b|\bcut off\b|\bwhat a kill left\b/i, 'partially written, interrupted, truncated'],
  [/\b(tells?|told|telling|sa(ys?|id|ying))\b/i, 'log, report, list, print, state'],
  [/\blook(s|ed|ing)? (in)?to\b/i, 'inspect'],
  [/\b(in|of|to) the world\b|\bthe world's\b/i, 'in physical space (mm)'],
  [/\bshares? seen\b/i, 'detected fraction'],
  [/\bkept share\b|\bshare kept\b/i, 'acceptance rate'],
  [
    /\b(a|an|another|each|every|first|last|next|one|this|that|per|of|the|more|all|its) tr(y|ies)\b/i,
    'attempt',
  ],
  [/(?<!-)\bstrokes?\b(?![-:])/i, 'tumor'],
  [/\bpieces?\b/i, 'component'],
  [/\bmade (CTs?|volumes?|cases|data)\b/, 'phantom'],
  // DICOM has frames of reference, and objects with several frames
  [
    /(?<!multi-)(?<!(?:DICOM|segmentation|several|states).*)\bframes\b(?!\.| of )/i,
    'message (ZeroMQ), crop, planned tumor',
  ],
  [/\bwires?\b/i, 'queue, channel, stream'],
  [/\b(mortal|lives|dies|died|dying|deaths?)\b(?!\.mjs)/i, 'exit, crash, be killed; restart policy'],
  [/\b(meeting|meets?|met)\b/i, 'rendezvous, overlap'],
  [/\bguarded\b/i, 'sandboxed'],
  [/\bgates?\b/i, 'leak check'],
  [/\bwhich of two\b/i, 'tie-break, order by'],
  [/\bso (many|often|much|long)\b/i, 'N, at least N, at most N'],
  [
    /\bknows? (no|of)\b|\bdo(es)? not know\b|\bnobody\b|\bsomebody\b/i,
    'unsupported, not recognised; name the actor',
  ],
  [/\bbeside\b/i, 'next to, in addition to'],
  [/\blost its mind\b|\blast words\b/i, 'name the fault'],
]

/** First words in -s of function docs that are not verbs in the third person. */
const NOUNS_IN_S =
  /^(Bytes|Cases|Voxels|Files|Always|This|Radius|Axis|Axes|Ids|Pairs|Sides|Previous|Status|Less)$/

/** First words of function docs that start a noun phrase instead of an imperative. */
const STARTS_WITH_NOUN =
  /^(An?|The|As|What|Where|Whether|Which|How|Why|When|Of|One|No|All|Every|Each|Those|This|That|It|Its|Is)\b/

const ERROR_TYPES = new Set(
  [...readFileSync(join(packageRoot, 'src/errors.ts'), 'utf8').matchAll(/^export class (\w+)/gm)].map(
    ([, name]) => name!,
  ),
)

interface Room {
  readonly name: string
  readonly files: readonly { readonly path: string; readonly words: SourceWords }[]
}

const SOURCES = sourceFiles(join(packageRoot, 'src'), '.ts')
  .filter(({ path }) => !path.startsWith('generated/'))
  .map(({ path, text }) => ({ path, words: wordsOf(path, text, ERROR_TYPES) }))

function roomOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : 'src'
}

const ROOMS: Room[] = [...new Set(SOURCES.map(({ path }) => roomOf(path)))].map((name) => ({
  name,
  files: SOURCES.filter(({ path }) => roomOf(path) === name),
}))

function glossaryFaults(path: string, texts: readonly ReadText[]): string[] {
  return texts.flatMap(({ line, text }) =>
    GLOSSARY.flatMap(([wrong, instead]) => {
      const found = wrong.exec(withoutBackticks(text))
      return found ? [`${path}:${line}: "${found[0]}": write ${instead}`] : []
    }),
  )
}

/** Return the doc comments that start with a noun clause. */
function nounClauses(path: string, texts: readonly ReadText[]): string[] {
  return texts
    .filter(({ kind, text }) => kind === 'doc' && /^(What|Where|Of|How)\b/.test(text))
    .map(({ line, text }) => `${path}:${line}: ${text.slice(0, 60)}`)
}

function withoutBackticks(text: string): string {
  return text.replace(/`[^`]*`/g, '…').replace(/\s+/g, ' ')
}

describe('the words of all rooms', () => {
  const files = SOURCES

  test('start no doc comment with a noun clause', () => {
    expect(files.flatMap(({ path, words }) => nounClauses(path, words.texts))).toEqual([])
  })

  test('refer to nothing outside the repository', () => {
    const faults = files.flatMap(({ path, words }) =>
      words.texts
        .filter(({ kind }) => kind !== 'string')
        .flatMap(({ line, text }) => unresolved(text).map((reference) => `${path}:${line}: ${reference}`)),
    )
    expect(faults).toEqual([])
  })
})

const PYTHON_FOLDER = join(packageRoot, 'python_runtime/freetumor_runtime')

/** Packages of the Python runtime, and its own modules. */
const PYTHON_ROOMS: Room[] = pythonRooms()

function pythonRooms(): Room[] {
  const errorTypes = [
    ...readFileSync(join(PYTHON_FOLDER, 'errors.py'), 'utf8').matchAll(/^class (\w+)/gm),
  ].map(([, name]) => name!)
  const paths = sourceFiles(PYTHON_FOLDER, '.py')
    .map(({ path }) => path)
    .filter((path) => !path.startsWith('generated/'))
  const files = pythonWords(PYTHON_FOLDER, paths, [...errorTypes, 'NiftiError'])
  return [...new Set(paths.map(roomOf))].map((name) => ({
    name: name === 'src' ? 'freetumor_runtime' : `freetumor_runtime.${name}`,
    files: files.filter(({ path }) => roomOf(path) === name),
  }))
}

function pythonWords(folder: string, paths: readonly string[], errorTypes: readonly string[]): Room['files'] {
  const input = JSON.stringify(paths.map((path) => join(folder, path)))
  const words = JSON.parse(runPython('test/helpers/python_words.py', input, errorTypes)) as Record<
    string,
    SourceWords
  >
  return paths.map((path) => ({ path, words: words[join(folder, path)]! }))
}

test.each(PYTHON_ROOMS)('function docs of $name start with an imperative', ({ files }) => {
  const faults = files.flatMap(({ path, words }) =>
    words.functionDocs
      .filter(({ text }) => STARTS_WITH_NOUN.test(text))
      .map(({ line, text }) => `${path}:${line}: ${text.slice(0, 60)}`),
  )
  expect(faults).toEqual([])
})

describe.each([...ROOMS, ...PYTHON_ROOMS])('the words of $name', ({ files }) => {
  test('avoid what the glossary replaces', () => {
    expect(files.flatMap(({ path, words }) => glossaryFaults(path, words.texts))).toEqual([])
  })

  test('describe a function in the imperative', () => {
    const faults = files.flatMap(({ path, words }) =>
      words.functionDocs
        .filter(({ text }) => isThirdPerson(text))
        .map(({ line, text }) => `${path}:${line}: ${text.slice(0, 60)}`),
    )
    expect(faults).toEqual([])
  })

  test('give every error a hint', () => {
    const faults = files.flatMap(({ path, words }) =>
      words.errors
        .filter(({ hasHint }) => !hasHint)
        .map(({ line, type, texts }) => `${path}:${line}: ${type} ${texts.join(' ')}`),
    )
    expect(faults).toEqual([])
  })

  test(`keep a sentence of an error to ${MAX_WORDS} words`, () => {
    const faults = files.flatMap(({ path, words }) =>
      words.errors.flatMap(({ line, texts }) =>
        longSentences(texts).map((text) => `${path}:${line}: ${text}`),
      ),
    )
    expect(faults).toEqual([])
  })
})

function isThirdPerson(doc: string): boolean {
  const [first = ''] = /^[A-Z][a-z]+/.exec(doc) ?? []
  return first.endsWith('s') && !first.endsWith('ss') && !NOUNS_IN_S.test(first)
}

/** Files that a comment may refer to. */
const REFERABLE = ['src', 'python_runtime', 'proto', 'scripts', 'docs', 'test'].flatMap((folder) =>
  readdirSync(join(packageRoot, folder), { recursive: true, encoding: 'utf8' }).map(
    (name) => `${folder}/${name}`,
  ),
)

/** Return the references of a comment that lead nowhere: design pages, files that do not exist, missing anchors. */
function unresolved(comment: string): string[] {
  const design = comment.match(/\b(METHOD|ARCHITECTURE|INTERFACE|FACTS|STYLE|LANGUAGE)\b/g) ?? []
  const references = [...comment.matchAll(/[\w/.-]+\.(?:py|ts|mjs|proto|md)\b(?:#([\w-]+))?/g)]
  return [...design, ...references.filter(([path, anchor]) => !resolves(path, anchor)).map(([path]) => path)]
}

function resolves(reference: string, anchor: string | undefined): boolean {
  const name = reference.replace(/#.*/, '').replace(/^(\.\.?\/)+/, '')
  const file = REFERABLE.find((path) => path === name || path.endsWith(`/${name}`))
  if (file === undefined) return false
  return anchor === undefined || anchorsOf(join(packageRoot, file)).includes(anchor)
}

function anchorsOf(page: string): string[] {
  if (!existsSync(page)) return []
  return [...readFileSync(page, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\d\s_-]/gu, '')
      .replace(/\s/g, '-'),
  )
}

test.each([
  ['proto', '.proto', '//'],
  ['configs', '.yaml', '#'],
] as const)('the comments of %s avoid what the glossary replaces', (folder, ending, sign) => {
  const files = sourceFiles(join(packageRoot, folder), ending)
  expect(files.flatMap(({ path, text }) => glossaryFaults(path, lineComments(text, sign)))).toEqual([])
})

describe('the words of the scripts', () => {
  const texts = scriptTexts()

  test('avoid what the glossary replaces', () => {
    expect(texts.flatMap(({ path, texts }) => glossaryFaults(path, texts))).toEqual([])
  })

  test('start no doc comment with a noun clause', () => {
    expect(texts.flatMap(({ path, texts }) => nounClauses(path, texts))).toEqual([])
  })
})

/** Return the texts of the scripts in JavaScript, TypeScript, Python and shell. */
function scriptTexts(): { readonly path: string; readonly texts: readonly ReadText[] }[] {
  const folder = join(packageRoot, 'scripts')
  const named = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.includes('.'))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .map((path) => ({ path, text: readFileSync(join(folder, path), 'utf8') }))
  const [python, shell] = [true, false].map((wanted) =>
    named.filter(({ text }) => /^#!.*python/.test(text) === wanted),
  )
  const pythonPaths = [...sourceFiles(folder, '.py'), ...python!].map(({ path }) => path)
  return [
    ...['.mjs', '.mts', '.ts'].flatMap((ending) =>
      sourceFiles(folder, ending).map(({ path, text }) => ({
        path,
        texts: wordsOf(path, text, ERROR_TYPES).texts,
      })),
    ),
    ...pythonWords(folder, pythonPaths, []).map(({ path, words }) => ({ path, texts: words.texts })),
    ...shell!.map(({ path, text }) => ({ path, texts: lineComments(text, '#') })),
  ]
}

test('the titles of tests avoid what the glossary replaces', () => {
  const typescript = sourceFiles(join(packageRoot, 'test'), '.test.ts')
  const python = sourceFiles(join(packageRoot, 'python_runtime/tests'), '.py')
  const faults = [
    ...typescript.flatMap(({ path, text }) => glossaryFaults(`test/${path}`, titlesOf(path, text))),
    ...python.flatMap(({ path, text }) =>
      glossaryFaults(`python_runtime/tests/${path}`, functionNames(text)),
    ),
  ]
  expect(faults).toEqual([])
})

/** Return the names of Python test functions as sentences. */
function functionNames(source: string): ReadText[] {
  return source.split('\n').flatMap((line, at): ReadText[] => {
    const [, name] = /^(?:async )?def test_(\w+)/.exec(line) ?? []
    return name === undefined ? [] : [{ kind: 'string', line: at + 1, text: name.replaceAll('_', ' ') }]
  })
}
