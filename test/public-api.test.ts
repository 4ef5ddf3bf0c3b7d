import { join } from 'node:path'
import ts from 'typescript'
import { expect, it } from 'vitest'
import { packageRoot } from '../src/runtime/python.js'

const entry = join(packageRoot, 'src/index.ts')
const program = ts.createProgram([entry], {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  types: ['node'],
  skipLibCheck: true,
  noEmit: true,
})
const checker = program.getTypeChecker()
const exported = checker
  .getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!)
  .map((symbol) => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
    return { name: symbol.name, target, isValue: (target.flags & ts.SymbolFlags.Value) !== 0 }
  })

it('matches its snapshot', () => {
  const names = (isValue: boolean): string[] =>
    exported
      .filter((one) => one.isValue === isValue)
      .map(({ name }) => name)
      .sort()
  expect(names(true)).toMatchInlineSnapshot(`
    [
      "CheckpointError",
      "ConfigError",
      "DataError",
      "EXIT",
      "EnvironmentError",
      "FreetumorError",
      "LeakError",
      "RuntimeCrashError",
      "StoppedError",
      "SupersededError",
      "UsageError",
      "appendReview",
      "auditData",
      "cardOf",
      "checkConfig",
      "checkData",
      "configJsonSchema",
      "connectRun",
      "convertCheckpoint",
      "curate",
      "decisionsOf",
      "defineConfig",
      "demo",
      "describeRun",
      "evaluate",
      "explainKey",
      "importData",
      "inspectCheckpoint",
      "launch",
      "listRuns",
      "loadConfig",
      "mergeShards",
      "openRuntime",
      "openStream",
      "planRun",
      "predict",
      "prepare",
      "printConfig",
      "readEvents",
      "readLedger",
      "readReviews",
      "remapData",
      "resolveConfig",
      "reviewAgreement",
      "reviewsCsv",
      "runDoctor",
      "setUpRuntime",
      "simulateTumor",
      "splitData",
      "studio",
      "submit",
      "sweepLedger",
      "synthesize",
      "train",
      "writePhantomDataset",
      "writeReport",
    ]
  `)
  expect(names(false)).toMatchInlineSnapshot(`
    [
      "Affine",
      "Agreement",
      "AuditDataOptions",
      "AuditPair",
      "BoxMask",
      "CallSettings",
      "CaseError",
      "CaseGeometry",
      "CaseMeasures",
      "CaseProgress",
      "CheckDataOptions",
      "CheckReport",
      "CheckpointEvent",
      "CheckpointFacts",
      "CheckpointFormat",
      "ClassCounts",
      "CommandEvent",
      "Comparison",
      "ConfigCheck",
      "ConfigFinding",
      "ConfigInput",
      "ConfigKey",
      "ConvertSettings",
      "Converted",
      "CuratedCase",
      "Curation",
      "DataAudit",
      "DataImport",
      "DataInput",
      "DataSplit",
      "DemoOptions",
      "DemoResult",
      "DoctorCheck",
      "DoctorOptions",
      "DoctorReport",
      "ErrorDetails",
      "EvaluateOptions",
      "Evaluation",
      "EvaluationInput",
      "EvaluationSummary",
      "ExplainedKey",
      "FailedCases",
      "FailureCard",
      "Figure",
      "FiguresAtMm",
      "FileFacts",
      "Finding",
      "FinishedEvent",
      "FoldPlan",
      "FoldRow",
      "Froc",
      "HuVolume",
      "ImportDataOptions",
      "InspectSettings",
      "JobKind",
      "JudgedKind",
      "Kept",
      "KeyParts",
      "KidneySides",
      "LabelIdMap",
      "LabelMap",
      "LabelMeasures",
      "Launch",
      "LaunchEvent",
      "LaunchOptions",
      "LaunchPlan",
      "LaunchResult",
      "LedgerLine",
      "LeftOut",
      "LesionBin",
      "LesionMeasures",
      "LesionOverlap",
      "LesionRates",
      "LesionSummary",
      "LoadOptions",
      "Manifest",
      "ManifestCase",
      "MatchRates",
      "Merged",
      "MergedResult",
      "MergingOrder",
      "MetricGrid",
      "MissingFiles",
      "NetworkFacts",
      "NetworksInput",
      "NoPlace",
      "NodePlace",
      "NoteEvent",
      "OpenRuntimeOptions",
      "OperatingPoint",
      "OrganName",
      "Outcome",
      "OutputEvent",
      "OverlapMeasures",
      "OverlapSummary",
      "PaintedTumor",
      "PairKind",
      "PairedFigure",
      "PatientFold",
      "PhantomDatasetOptions",
      "PlanOptions",
      "PredictOptions",
      "PredictProgress",
      "Prediction",
      "PredictionCase",
      "PrepareInput",
      "PrepareReport",
      "PreparedCase",
      "ProfileName",
      "QualityInput",
      "QualityOverride",
      "QualityPolicy",
      "QualityRange",
      "QualityRules",
      "QueuedJob",
      "Radius",
      "RadiusSource",
      "RandomStream",
      "Region",
      "RemapDataOptions",
      "RemapRow",
      "Remapped",
      "RemappedFile",
      "RemoteRun",
      "ReportInput",
      "RestartEvent",
      "RestartPolicy",
      "ReviewAgreement",
      "ReviewCounts",
      "ReviewLine",
      "ReviewSummary",
      "ReviewedTumor",
      "ReviewerPair",
      "RuleName",
      "Run",
      "RunConfig",
      "RunEvent",
      "RunPlan",
      "RunResult",
      "RunStatus",
      "RunSummary",
      "RuntimeInput",
      "SamplingInput",
      "ScriptFinishedEvent",
      "ScriptRestartEvent",
      "ScriptStartedEvent",
      "SegmentOptions",
      "Segmentation",
      "ServeConfig",
      "SetupOptions",
      "SetupResult",
      "Severity",
      "Shard",
      "ShardStates",
      "SharedSources",
      "SimulationInput",
      "SizeClass",
      "SliceRange",
      "SourceOptions",
      "Split",
      "SplitDataOptions",
      "StandingDecision",
      "StartedEvent",
      "StepCost",
      "StepEvent",
      "Stratum",
      "Studio",
      "StudioSettings",
      "SubmitSettings",
      "SubmittedJob",
      "SubmittedRun",
      "Sweep",
      "SweepOptions",
      "SweepRow",
      "Synthesis",
      "SynthesisEvent",
      "SynthesisLine",
      "SynthesisProgress",
      "SynthesisRequest",
      "SynthesizeCallOptions",
      "SynthesizeInput",
      "SynthesizeSettings",
      "TakenSource",
      "TrainOptions",
      "TrainingCase",
      "TrainingInput",
      "TrainingReviews",
      "TumorDecision",
      "TumorMeasures",
      "TumorOptions",
      "TumorOutcome",
      "TumorPlan",
      "TumorSite",
      "TumorWish",
      "Validation",
      "ValidationEvent",
      "Vec3",
      "Verdict",
      "Volume",
      "VoxelArray",
      "WarmRuntime",
      "WorkOptions",
    ]
  `)
})

it('documents every function and class', () => {
  const silent = exported.filter(
    ({ target, isValue }) => isValue && target.getDocumentationComment(checker).length === 0,
  )
  expect(silent.map(({ name }) => name)).toEqual([])
})

it('exports the types that its functions accept and return', () => {
  const known = new Set(exported.map(({ target }) => target))
  const nameless = exported.flatMap(({ name, target, isValue }) => {
    if (!isValue || !target.valueDeclaration || !ts.isFunctionDeclaration(target.valueDeclaration)) return []
    const [signature] = checker.getTypeOfSymbolAtLocation(target, target.valueDeclaration).getCallSignatures()
    const types = [
      ...signature!
        .getParameters()
        .map((one) => checker.getTypeOfSymbolAtLocation(one, target.valueDeclaration!)),
      signature!.getReturnType(),
    ]
    const unknown = types
      .flatMap((type) => ownInterfaces(type, new Set()))
      .filter((symbol) => !known.has(symbol) && !symbol.name.startsWith('__'))
    return [...new Set(unknown)].map((symbol) => `${symbol.name} of ${name}`)
  })
  expect(nameless).toEqual([])
})

/** Interfaces and classes of src/ that a type names, also within unions, promises and streams. */
function ownInterfaces(type: ts.Type, seen: Set<ts.Type>): ts.Symbol[] {
  if (seen.has(type)) return []
  seen.add(type)
  const parts = [
    ...(type.isUnionOrIntersection() ? type.types : []),
    ...(checker.getTypeArguments(type as ts.TypeReference) ?? []),
  ]
  const symbol = type.aliasSymbol ?? type.getSymbol()
  const file = symbol?.declarations?.[0]?.getSourceFile().fileName ?? ''
  const own =
    symbol && file.startsWith(join(packageRoot, 'src/')) && type.isClassOrInterface() ? [symbol] : []
  return [...own, ...parts.flatMap((part) => ownInterfaces(part, seen))]
}
