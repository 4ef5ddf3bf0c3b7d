import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  Lexer,
  LineCounter,
  Parser,
  visit,
  type YAMLMap,
} from 'yaml'
import { ConfigError, FreetumorError } from '../errors.js'
import { refuseTraps } from '../foreign-text.js'

/** Largest YAML text, in bytes of a file and in characters. */
export const MAX_YAML_BYTES = 256 * 1024
const MAX_DEPTH = 64
/** Tokens that are neither space, comment nor the package's mark before a scalar: 15,000 `key: value` have 45,000. */
const MAX_TOKENS = 45_000
/** Aliases of aliases double with each: ten are a thousand at most. */
const MAX_ALIASES = 10

/** The package's mark before a scalar. */
const SCALAR = '\u001f'
const CORE_TAG = /^(!|tag:yaml\.org,2002:(null|bool|int|float|str|seq|map))$/

/**
 * Parse one document of YAML 1.2 (core types, unique plain keys, no custom tags). Depth, tokens and aliases are counted
 * while the parser runs, because a check of the text itself takes brackets in comments and strings for structure.
 * @throws ConfigError that names the file
 */
export function parseYaml(text: string, name: string): unknown {
  if (text.length > MAX_YAML_BYTES)
    throw new ConfigError(`${name}: larger than ${MAX_YAML_BYTES / 1024} KiB`, { hint: 'shorten the file' })
  if (/^%YAML\s+1\.1/m.test(text))
    throw new ConfigError(`${name}: %YAML 1.1 is not accepted`, { hint: 'remove the line %YAML 1.1' })
  const lines = new LineCounter()
  const fail = (message: string, offset: number): ConfigError => {
    const { line, col } = lines.linePos(offset)
    return new ConfigError(`${name}: line ${line}, column ${col}: ${message.trim().slice(0, 500)}`, {
      hint: 'correct the YAML there',
      facts: { file: name },
    })
  }
  const tokens = boundedTokens(text, lines, name, fail)
  // `uniqueKeys` and `prettyErrors` of the package take time with the square of the text: done here instead
  const composer = new Composer({ schema: 'core', uniqueKeys: false, prettyErrors: false })
  const [document] = composer.compose(tokens, true, text.length)
  const problem = document?.errors[0] ?? document?.warnings[0]
  if (!document || problem) throw fail(problem?.message ?? 'a document was expected', problem?.pos[0] ?? 0)
  refuseOddNodes(document, fail)
  try {
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES })
    refuseTraps(value, name)
    return value
  } catch (error) {
    const message = (error as Error).message
    throw new ConfigError(error instanceof FreetumorError ? message : `${name}: ${message}`, {
      hint: 'correct the YAML',
      cause: error,
    })
  }
}

type Fail = (message: string, offset: number) => ConfigError

/** Return the parts of the stream: at most one document, of bounded depth. */
function boundedTokens(text: string, lines: LineCounter, name: string, fail: Fail): CST.Token[] {
  const parser = new Parser(lines.addNewLine)
  lines.addNewLine(0)
  const found: CST.Token[] = []
  let [count, aliases, documents] = [0, 0, 0]
  const take = (token: CST.Token): void => {
    if (token.type === 'error') throw fail(token.message, token.offset)
    if (token.type === 'document' && ++documents > 1)
      throw fail('more than one document (expected one)', token.offset)
    found.push(token)
  }
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) take(token)
    // the bottom of the stack is the document
    if (parser.stack.length - 1 > MAX_DEPTH)
      throw new ConfigError(`${name}: nested deeper than ${MAX_DEPTH} levels`, { hint: 'flatten the file' })
    if (lexeme.startsWith('*')) aliases++
    if (lexeme !== SCALAR && !/^[\s#]/.test(lexeme) && ++count > MAX_TOKENS)
      throw new ConfigError(`${name}: more than ${MAX_TOKENS} values and keys`, { hint: 'shorten the file' })
    if (aliases > MAX_ALIASES)
      throw new ConfigError(`${name}: more than ${MAX_ALIASES} aliases`, { hint: 'write the values instead' })
  }
  for (const token of parser.end()) take(token)
  return found
}

/** Refuse tags beyond the core types, values that contain themselves, and keys that are no plain text or occur twice. */
function refuseOddNodes(document: Document, fail: Fail): void {
  const refuse = (message: string, node: unknown): never => {
    throw fail(message, (node as { range?: readonly number[] | null } | null)?.range?.[0] ?? 0)
  }
  visit(document, {
    Node: (_, node, path) => {
      const { tag } = node as { tag?: string }
      if (tag !== undefined && !CORE_TAG.test(tag)) refuse(`unknown tag ${tag}`, node)
      if (isAlias(node)) {
        const target = node.resolve(document)
        if (target === undefined) refuse(`alias ${node.source} has no anchor before it`, node)
        if (path.some((outer) => outer === target))
          refuse(`alias ${node.source} lies in its own anchor`, node)
      } else if (isMap(node)) refuseOddKeys(node, refuse)
    },
  })
}

function refuseOddKeys(map: YAMLMap, refuse: (message: string, node: unknown) => never): void {
  const keys = new Set<string>()
  for (const { key } of map.items) {
    const text = isScalar(key) ? String(key.value) : refuse('a key must be plain text', key ?? map)
    if (keys.has(text)) refuse(`key ${JSON.stringify(text)} comes twice; keys must be unique`, key)
    keys.add(text)
  }
}
