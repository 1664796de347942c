"""A model card of SageMaker, in the form in which articles print it."""

AS_ARTICLES_PRINT_IT = {
    "model_overview": {
        "model_name": "churn-predictor",
        "model_description": "Predicts churn",
        "model_version": 3,
        "problem_type": "Binary classification",
        "algorithm_type": "XGBoost",
        "model_creator": "jane.doe@corp.example",
        "model_artifact": ["s3://corp-models/churn/model.tar.gz"],
        "inference_environment": {
            "container_image": [
                "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
            ]
        },
        "training_datasets": ["s3://corp-data/churn/train.csv"],
    },
    "intended_uses": {
        "purpose_of_model": "Find customers who may leave",
        "intended_uses": "Marketing campaigns",
        "intended_users": "CRM team",
        "out_of_scope_uses": ["Pricing", "Credit decisions"],
        "risk_rating": "Low",
    },
    "training_details": {
        "training_observations": "Trained on two years of data",
        "training_job_details": {
            "training_arn": "arn:aws:sagemaker:eu-central-1:123456789012:training-job/churn",
            "hyper_parameters": [{"name": "max_depth", "value": "5"}],
        },
        "evaluation_datasets": ["s3://corp-data/churn/test.csv"],
    },
    "evaluation_details": [
        {
            "name": "test",
            "metric_groups": [
                {
                    "name": "binary",
                    "metric_data": [{"name": "auc", "type": "number", "value": 0.91}],
                }
            ],
        }
    ],
    "additional_information": {
        "ethical_considerations": "Old customers are scored lower",
        "custom_details": {"Retention Policy": "2 years", "gdpr": "compliant"},
    },
    "status": "Approved",
}
