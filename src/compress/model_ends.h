// What stands before and behind the blocks: embedding, final norm and lm_head, rotated and
// quantized as the plan says, a piece of rows at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "compress/folds.h"
#include "compress/layer_plan.h"
#include "compress/sharded_writer.h"
#include "core/progress.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "engine/hidden_states.h"
#include "format/model_folder.h"
#include "format/safetensors.h"
#include "model/config.h"
#include "model/linear.h"

namespace octavo::compress {

class ModelEnds {
 public:
  // `rotation` may be nullptr. What is given must outlive this.
  static core::Result<ModelEnds> Open(const format::ModelFolder& source,
                                      const model::ModelConfig& config, const LayerPlan& plan,
                                      const Rotation* rotation, core::ThreadPool& pool);

  // Whether lm_head is a tensor of its own in what is written: a tied model's is, once it is
  // rotated or quantized.
  bool untied() const { return untied_; }
  // Row ids[i] of the embedding as it is written, into row i of `states`.
  core::Status Embed(std::span<const int32_t> ids, engine::HiddenStates& states) const;
  // The final norm and the head as they are written, for the forward pass.
  std::vector<float> Norm() const;
  core::Result<model::Linear> Head() const;

  // The tensors that come before those of the blocks, and those behind.
  TensorGroup PlanFront() const;
  std::vector<TensorGroup> PlanBack() const;
  core::Status WriteFront(format::SafetensorsWriter& writer, const core::CancelToken& cancel) const;
  // Group `index` of PlanBack().
  core::Status WriteBack(size_t index, format::SafetensorsWriter& writer,
                         const core::CancelToken& cancel) const;

 private:
  ModelEnds(const format::ModelFolder& source, const model::ModelConfig& config,
            const LayerPlan& plan, const Rotation* rotation, core::ThreadPool& pool)
      : source_(source), config_(config), plan_(plan), rotation_(rotation), pool_(pool) {}
  // `count` rows from `first` on of the embedding or of the head's weights, folded, rotated and
  // rounded to their stored type. out: [count, hidden].
  core::Status Rows(const tensor::TensorView& matrix, bool head, int64_t first, int64_t count,
                    std::span<float> out) const;
  core::Result<tensor::QuantizedTensor> QuantizeHead() const;
  core::Status WriteRows(const tensor::TensorView& matrix, bool head,
                         format::SafetensorsWriter& writer, const core::CancelToken& cancel) const;

  const format::ModelFolder& source_;
  const model::ModelConfig& config_;
  const LayerPlan& plan_;
  const Rotation* rotation_;
  core::ThreadPool& pool_;
  bool untied_ = false;
  tensor::TensorView embedding_;
  tensor::TensorView head_;  // the embedding of a tied model
  tensor::DType norm_dtype_ = tensor::DType::kF32;
  tensor::DType head_scale_dtype_ = tensor::DType::kF32;  // of rotated weights, always
  std::vector<float> norm_;                               // as it is stored in the source
};

}  // namespace octavo::compress
